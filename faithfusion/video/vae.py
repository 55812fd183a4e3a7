"""Video codecs: Wan2.1's causal VAE and a small convolutional one for CPU, behind one configuration.

Both take 4k + 1 frames to k + 1 latent frames; latent frame 0 holds frame 0, latent frame i frames 4i - 3 .. 4i.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from faithfusion.clips.windows import CHUNK_FRAMES

DOWNSAMPLING = 8  # pixels per latent cell along each side


@dataclass(frozen=True)
class TinyVaeConfig:
    """Sizes of `TinyVae`.

    Attributes:
        width_quarter: channels at a quarter of the image resolution.
        width_eighth: channels at an eighth, per frame.
        width_chunk: channels at an eighth, for the folded frames of a chunk.
        blocks_quarter: residual blocks at a quarter.
        blocks_eighth: residual blocks at an eighth, per frame.
        blocks_chunk: residual blocks over the four folded frames of a chunk.
    """

    width_quarter: int = 64
    width_eighth: int = 96
    width_chunk: int = 128
    blocks_quarter: int = 2
    blocks_eighth: int = 1
    blocks_chunk: int = 1


@dataclass(frozen=True)
class WanVaeConfig:
    """Sizes of Wan's VAE; the defaults are the published Wan2.1 VAE.

    Attributes:
        base_dim: channels at full resolution.
        dim_mult: channel factors per level (three halvings in space for four levels).
        num_res_blocks: residual blocks per level.
    """

    base_dim: int = 96
    dim_mult: tuple[int, int, int, int] = (1, 2, 4, 4)
    num_res_blocks: int = 2


@dataclass(frozen=True)
class CodecConfig:
    """Which codec, and its size.

    Attributes:
        name: "tiny" (ours, cheap on a CPU) or "wan" (diffusers' AutoencoderKLWan).
        latent_channels: channels of the latents (16 for Wan2.1).
        tiny: sizes used by "tiny".
        wan: sizes used by "wan".
    """

    name: Literal["tiny", "wan"] = "tiny"
    latent_channels: int = 32
    tiny: TinyVaeConfig = field(default_factory=TinyVaeConfig)
    wan: WanVaeConfig = field(default_factory=WanVaeConfig)


class VideoCodec(Protocol):
    """Deterministic video <-> latent mapping; latents have zero mean and unit variance per channel."""

    def encode(self, video: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c k h8 w8"]:
        """Video in [-1, 1], T = 4k + 1, H and W multiples of 8, to normalised latents (the posterior mean)."""
        ...

    def decode(self, latents: Float[Tensor, "b c k h8 w8"]) -> Float[Tensor, "b 3 t h w"]:
        """Normalised latents to video in [-1, 1] (not clamped)."""
        ...


class NormalisedCodec(nn.Module):
    """Latent statistics as buffers around `encode_raw` and `decode_raw` of a subclass."""

    latents_mean: Tensor
    latents_std: Tensor

    def __init__(self, latent_channels: int) -> None:
        super().__init__()
        self.register_buffer("latents_mean", torch.zeros(latent_channels))
        self.register_buffer("latents_std", torch.ones(latent_channels))

    def encode_raw(self, video: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c k h8 w8"]:
        """Latents before normalisation (what a codec trainer regularises)."""
        raise NotImplementedError

    def decode_raw(self, latents: Float[Tensor, "b c k h8 w8"]) -> Float[Tensor, "b 3 t h w"]:
        """Video from latents before normalisation."""
        raise NotImplementedError

    def encode(self, video: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c k h8 w8"]:
        """See `VideoCodec.encode`."""
        _check_video(video)
        mean, std = self.latents_mean[:, None, None, None], self.latents_std[:, None, None, None]
        return (self.encode_raw(video) - mean) / std

    def decode(self, latents: Float[Tensor, "b c k h8 w8"]) -> Float[Tensor, "b 3 t h w"]:
        """See `VideoCodec.decode`."""
        mean, std = self.latents_mean[:, None, None, None], self.latents_std[:, None, None, None]
        return self.decode_raw(latents * std + mean)

    def set_statistics(self, mean: Float[Tensor, " c"], std: Float[Tensor, " c"]) -> None:
        """Stores the channel statistics of raw latents, measured on training clips."""
        self.latents_mean.copy_(mean)
        self.latents_std.copy_(std)


def _check_video(video: Tensor) -> None:
    frames, height, width = video.shape[-3:]
    if frames % CHUNK_FRAMES != 1 or height % DOWNSAMPLING or width % DOWNSAMPLING:
        raise ValueError(f"video of {frames}x{height}x{width}: need 4k + 1 frames and sides that are multiples of 8")


class WanVae(NormalisedCodec):
    """diffusers' `AutoencoderKLWan` at any size, posterior mean only."""

    def __init__(self, latent_channels: int, config: WanVaeConfig) -> None:
        super().__init__(latent_channels)
        from diffusers import AutoencoderKLWan  # seconds to import, not needed by the tiny codec

        halves_time = [False, True, True]
        self.vae = AutoencoderKLWan(
            base_dim=config.base_dim,
            z_dim=latent_channels,
            dim_mult=list(config.dim_mult),
            num_res_blocks=config.num_res_blocks,
            temperal_downsample=halves_time,
        )

    def encode_raw(self, video: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c k h8 w8"]:
        return self.vae.encode(video).latent_dist.mode()

    def decode_raw(self, latents: Float[Tensor, "b c k h8 w8"]) -> Float[Tensor, "b 3 t h w"]:
        return self.vae.decode(latents).sample


class ResidualBlock(nn.Module):
    """GroupNorm, SiLU, 3x3 convolution, twice, plus the input. The second convolution starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)
        self.conv1, self.conv2 = _conv3(channels, channels), _conv3(channels, channels)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class TinyVae(NormalisedCodec):
    """Frames through convolutions at 1/4 and 1/8 resolution, then the four frames of a chunk mixed into one latent.

    Latent frame i depends on the frames of chunk i only, and the decoded frames of chunk i on latent frame i only:
    nothing crosses a chunk's border. Frame 0 is repeated to fill its chunk.
    """

    def __init__(self, latent_channels: int, config: TinyVaeConfig) -> None:
        super().__init__(latent_channels)
        quarter, eighth, folded = config.width_quarter, config.width_eighth, config.width_chunk
        self.frame_encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            _conv3(48, quarter),
            *_blocks(quarter, config.blocks_quarter),
            nn.Conv2d(quarter, eighth, 4, stride=2, padding=1),
            *_blocks(eighth, config.blocks_eighth),
        )
        self.chunk_encoder = nn.Sequential(
            nn.Conv2d(CHUNK_FRAMES * eighth, folded, 1),
            *_blocks(folded, config.blocks_chunk),
            nn.GroupNorm(8, folded),
            nn.SiLU(),
            nn.Conv2d(folded, latent_channels, 1),
        )
        self.chunk_decoder = nn.Sequential(
            _conv3(latent_channels, folded),
            *_blocks(folded, config.blocks_chunk),
            nn.Conv2d(folded, CHUNK_FRAMES * eighth, 1),
        )
        self.frame_decoder = nn.Sequential(
            *_blocks(eighth, config.blocks_eighth),
            _conv3(eighth, 4 * quarter),
            nn.PixelShuffle(2),
            *_blocks(quarter, config.blocks_quarter),
            nn.GroupNorm(8, quarter),
            nn.SiLU(),
            _conv3(quarter, 48),
            nn.PixelShuffle(4),
        )

    def encode_raw(self, video: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c k h8 w8"]:
        batch = video.shape[0]
        features = self.frame_encoder(rearrange(video, "b c t h w -> (b t) c h w"))
        features = rearrange(features, "(b t) c h w -> b t c h w", b=batch)
        features = torch.cat([features[:, :1].expand(-1, CHUNK_FRAMES - 1, -1, -1, -1), features], dim=1)
        latents = self.chunk_encoder(rearrange(features, "b (k f) c h w -> (b k) (f c) h w", f=CHUNK_FRAMES))
        return rearrange(latents, "(b k) c h w -> b c k h w", b=batch)

    def decode_raw(self, latents: Float[Tensor, "b c k h8 w8"]) -> Float[Tensor, "b 3 t h w"]:
        batch = latents.shape[0]
        features = self.chunk_decoder(rearrange(latents, "b c k h w -> (b k) c h w"))
        features = rearrange(features, "(b k) (f c) h w -> b (k f) c h w", b=batch, f=CHUNK_FRAMES)[
            :, CHUNK_FRAMES - 1 :
        ]
        video = self.frame_decoder(rearrange(features, "b t c h w -> (b t) c h w"))
        return rearrange(video, "(b t) c h w -> b c t h w", b=batch)


def _conv3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _blocks(channels: int, count: int) -> list[ResidualBlock]:
    return [ResidualBlock(channels) for _ in range(count)]


def build_codec(config: CodecConfig) -> NormalisedCodec:
    """The codec named by the configuration, randomly initialised."""
    if config.name == "wan":
        return WanVae(config.latent_channels, config.wan)
    return TinyVae(config.latent_channels, config.tiny)
