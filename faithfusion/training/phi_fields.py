"""Draws noise-level fields phi to train on: mostly the window's own EIG, else families that keep the model honest off
it.

With phi from EIG alone the network would learn one fixed relation between EIG and noise; all ones is plain generation,
smooth random fields cover every other mix.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from faithfusion.training.method_config import PhiConfig


def draw_phi(
    own: Float[Tensor, "b t th tw"], config: PhiConfig, generator: torch.Generator
) -> Float[Tensor, "b t th tw"]:
    """Replaces the phi of randomly chosen windows by another family.

    Smooth fields only raise phi: claiming more certainty than EIG does would contradict the render prior.
    """
    smooth = torch.maximum(own, smooth_field(own.shape, generator))
    chance = torch.rand(own.shape[0], 1, 1, 1, generator=generator, device=own.device)
    phi = torch.where(chance < config.ones + config.smooth, smooth, own)
    return torch.where(chance < config.ones, torch.ones_like(own), phi)


def smooth_field(shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "b t th tw"]:
    """Fields in (0, 1): noise on a coarse 2x3x4 grid, interpolated, through a sigmoid of random gain and offset."""
    batch = shape[0]
    draw = {"generator": generator, "device": generator.device}
    coarse = torch.randn(batch, 1, 2, 3, 4, **draw)
    field = F.interpolate(coarse, size=tuple(shape[1:]), mode="trilinear", align_corners=True)[:, 0]
    gain = 1.0 + 5.0 * torch.rand(batch, 1, 1, 1, **draw)
    offset = 2.0 * torch.randn(batch, 1, 1, 1, **draw)
    return torch.sigmoid(gain * field + offset)


def draw_history(batch: int, latent_frames: int, share: float, generator: torch.Generator) -> Tensor:
    """Draws which latent frames [B, T'] are exact history: the first one or two of a `share` of the windows."""
    draw = {"generator": generator, "device": generator.device}
    length = torch.randint(1, 3, (batch, 1), **draw)
    chosen = torch.rand(batch, 1, **draw) < share
    return chosen & (torch.arange(latent_frames, device=generator.device) < length)
