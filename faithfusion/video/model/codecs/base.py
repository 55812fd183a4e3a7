"""The base of every video codec: latent statistics and tiles around the networks of a subclass.

Latent frame 0 holds frame 0; latent frame i the `chunk_frames` frames that end with frame i `chunk_frames`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.video.model.codecs.registry import codec_class
from faithfusion.video.model.codecs.tiles import Tiles, in_tiles
from faithfusion.video.model.config import CodecConfig


class NormalisedCodec(nn.Module, ABC):
    """A deterministic map between video and latents whose channels have zero mean and unit variance.

    A subclass gives `encode_raw` and `decode_raw`, its geometry (`stride` pixels along each side of a latent cell,
    `chunk_frames` frames per latent frame after the first) and is built from a `CodecConfig`. The statistics of raw
    latents are buffers. `tiles` says how `encode` and `decode` cut a clip; None means whole frames.
    """

    stride: ClassVar[int]
    chunk_frames: ClassVar[int]

    latents_mean: Tensor
    latents_std: Tensor

    def __init__(self, latent_channels: int) -> None:
        super().__init__()
        self.tiles: Tiles | None = None
        self.register_buffer("latents_mean", torch.zeros(latent_channels))
        self.register_buffer("latents_std", torch.ones(latent_channels))

    @abstractmethod
    def encode_raw(self, video: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c k y x"]:
        """Latents before normalisation (what a codec trainer regularises)."""

    @abstractmethod
    def decode_raw(self, latents: Float[Tensor, "b c k y x"]) -> Float[Tensor, "b 3 t h w"]:
        """Video from latents before normalisation."""

    def encode(self, video: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c k y x"]:
        """Video in [-1, 1] of chunk_frames k + 1 frames and sides that are multiples of the stride, to normalised
        latents (the posterior mean)."""
        self._check_video(video)
        mean, std = self._statistics()
        raw = in_tiles(self.encode_raw, video.to(self._dtype), self.tiles, 1, self.stride)
        return (raw - mean) / std

    def decode(self, latents: Float[Tensor, "b c k y x"]) -> Float[Tensor, "b 3 t h w"]:
        """Normalised latents to video in [-1, 1]; the small codec may go a little beyond."""
        mean, std = self._statistics()
        return in_tiles(self.decode_raw, (latents * std + mean).to(self._dtype), self.tiles, self.stride, 1)

    def _statistics(self) -> tuple[Tensor, Tensor]:
        return self.latents_mean.float()[:, None, None, None], self.latents_std.float()[:, None, None, None]

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def set_statistics(self, mean: Float[Tensor, " c"], std: Float[Tensor, " c"]) -> None:
        """Stores the channel statistics of raw latents, measured on training clips."""
        self.latents_mean.copy_(mean)
        self.latents_std.copy_(std)

    def _check_video(self, video: Tensor) -> None:
        frames, height, width = video.shape[-3:]
        if (frames - 1) % self.chunk_frames or height % self.stride or width % self.stride:
            expected = f"{self.chunk_frames}k + 1 frames and sides that are multiples of {self.stride}"
            raise ValueError(f"video of {frames}x{height}x{width}: need {expected}")


def build_codec(config: CodecConfig) -> NormalisedCodec:
    """The codec that the configuration names, randomly initialised."""
    return codec_class(config.name)(config)
