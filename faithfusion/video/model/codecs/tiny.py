"""A small convolutional codec that a CPU can train and run."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from faithfusion.video.model.codecs.base import NormalisedCodec
from faithfusion.video.model.config import CodecConfig

STRIDE, CHUNK_FRAMES = 8, 4


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
    """Frames through convolutions at 1/4 and 1/8 resolution, then the four frames of a chunk mixed into one latent,
    around a linear shortcut of 8x8x4 blocks that starts as a truncated DCT: a working codec before training.

    Latent frame i depends on the frames of chunk i only, and the decoded frames of chunk i on latent frame i only:
    nothing crosses a chunk's border. Frame 0 is repeated to fill its chunk.
    """

    stride = STRIDE
    chunk_frames = CHUNK_FRAMES

    def __init__(self, config: CodecConfig) -> None:
        super().__init__(config.latent_channels)
        latent_channels, config = config.latent_channels, config.tiny
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
            _zeroed(nn.Conv2d(folded, latent_channels, 1)),
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
            _zeroed(_conv3(quarter, 48)),
            nn.PixelShuffle(4),
        )
        block, side = 3 * CHUNK_FRAMES, STRIDE
        self.block_encoder = nn.Conv2d(block, latent_channels, side, stride=side)
        self.block_decoder = nn.ConvTranspose2d(latent_channels, block, side, stride=side)
        _start_as_dct(self.block_encoder, self.block_decoder)

    def encode_raw(self, video: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c k y x"]:
        batch = video.shape[0]
        features = self.frame_encoder(rearrange(video, "b c t h w -> (b t) c h w"))
        features = rearrange(features, "(b t) c h w -> b c t h w", b=batch)
        latents = self.block_encoder(_fold_chunks(video)) + self.chunk_encoder(_fold_chunks(features))
        return rearrange(latents, "(b k) c h w -> b c k h w", b=batch)

    def decode_raw(self, latents: Float[Tensor, "b c k y x"]) -> Float[Tensor, "b 3 t h w"]:
        batch = latents.shape[0]
        latents = rearrange(latents, "b c k h w -> (b k) c h w")
        features = _unfold_chunks(self.chunk_decoder(latents), batch)
        detail = self.frame_decoder(rearrange(features, "b c t h w -> (b t) c h w"))
        return _unfold_chunks(self.block_decoder(latents), batch) + rearrange(
            detail, "(b t) c h w -> b c t h w", b=batch
        )


def _fold_chunks(values: Float[Tensor, "b c t h w"]) -> Float[Tensor, "bk cf h w"]:
    """The frames of a chunk as channels; frame 0 is repeated to fill its chunk."""
    filled = torch.cat([values[:, :, :1].expand(-1, -1, CHUNK_FRAMES - 1, -1, -1), values], dim=2)
    return rearrange(filled, "b c (k f) h w -> (b k) (c f) h w", f=CHUNK_FRAMES)


def _unfold_chunks(values: Float[Tensor, "bk cf h w"], batch: int) -> Float[Tensor, "b c t h w"]:
    """Undoes `_fold_chunks`: only the last frame of chunk 0 is kept."""
    frames = rearrange(values, "(b k) (c f) h w -> b c (k f) h w", b=batch, f=CHUNK_FRAMES)
    return frames[:, :, CHUNK_FRAMES - 1 :]


@torch.no_grad()
def _start_as_dct(encoder: nn.Conv2d, decoder: nn.ConvTranspose2d) -> None:
    """The leading luma and chroma components of a 4x8x8 cosine transform, rotated at random among the channels.

    The basis is orthonormal, so latent distances are pixel distances; the rotation gives every channel about unit
    variance without raising faint fine detail to the weight of brightness.
    """
    time, side = _dct_matrix(CHUNK_FRAMES), _dct_matrix(STRIDE)
    luma_chroma = F.normalize(torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]]))
    frequency = [torch.arange(n).float().square() for n in (CHUNK_FRAMES, STRIDE, STRIDE)]
    squared = 2.0 * frequency[0][:, None, None] + frequency[1][:, None] + frequency[2]
    variance = torch.tensor([1.0, 0.03, 0.03])[:, None, None, None] / (0.25 + squared) ** 1.5  # in natural video
    best = variance.flatten().topk(encoder.out_channels).indices
    basis = torch.einsum("ac,bf,dp,eq->abdecfpq", luma_chroma, time, side, side).flatten(0, 3).flatten(1)[best]
    rotation = torch.linalg.qr(torch.randn(len(best), len(best))).Q
    kernel = (rotation @ basis).reshape(encoder.weight.shape)
    scale = 0.5 * (basis.shape[1] / len(best)) ** 0.5  # colours in [-1, 1] have a standard deviation near 0.5
    encoder.weight.copy_(kernel / scale)
    decoder.weight.copy_(kernel * scale)
    nn.init.zeros_(encoder.bias)
    nn.init.zeros_(decoder.bias)


def _dct_matrix(size: int) -> Float[Tensor, "k n"]:
    """Orthonormal DCT-II: rows are cosines of rising frequency."""
    order, position = torch.arange(size)[:, None], torch.arange(size) + 0.5
    return F.normalize(torch.cos(torch.pi / size * order * position))


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _conv3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _blocks(channels: int, count: int) -> list[ResidualBlock]:
    return [ResidualBlock(channels) for _ in range(count)]
