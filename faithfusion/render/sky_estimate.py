"""The sky behind Gaussians that came without one, from the pictures of their drive."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from faithfusion.data.images import load_blind_mask, load_image
from faithfusion.render.rasterise import render
from faithfusion.scene.sky import ray_directions, sky_coordinates
from faithfusion.types import Frame, Gaussians, Sky

MIN_TRANSMITTANCE = 0.5  # pixels that show less of the sky say more about the Gaussians before it
MIN_WEIGHT = 1.0  # of a texel: four pixels of half transmittance


@torch.no_grad()
def sky_behind(gaussians: Gaussians, frames: Sequence[Frame], height: int) -> Sky:
    """Per texel the colour s that explains the pictures best: least squares of I - C = T s, where C is the render
    before black and T what it lets through. Texels nobody saw get the mean of their row, else of all, else black."""
    total, weight = torch.zeros(height * 2 * height, 3), torch.zeros(height * 2 * height)
    for frame in frames:
        camera = frame.camera
        rendering = render(gaussians, camera, torch.zeros(camera.height, camera.width, 3))
        through = 1.0 - rendering.alpha
        mask, blind = through > MIN_TRANSMITTANCE, load_blind_mask(frame)
        mask = mask if blind is None else mask & ~blind
        column, row = sky_coordinates(ray_directions(camera)[mask], height, 2 * height).long().unbind(-1)
        texel = row.clamp(0, height - 1) * 2 * height + column.clamp(0, 2 * height - 1)
        seen = through[mask]
        total.index_add_(0, texel, (load_image(frame) - rendering.color)[mask] * seen[:, None])
        weight.index_add_(0, texel, seen.square())
    total, weight = total.reshape(height, 2 * height, 3), weight.reshape(height, 2 * height, 1)
    fill = _mean(total, weight, 1)
    fill = torch.where(weight.sum(1, keepdim=True) > MIN_WEIGHT, fill, _mean(total, weight, (0, 1)))
    texture = torch.where(weight > MIN_WEIGHT, total / weight.clamp_min(MIN_WEIGHT), fill)
    return Sky(texture.clamp(0.0, 1.0))


def _mean(total: torch.Tensor, weight: torch.Tensor, dims: int | tuple[int, ...]) -> torch.Tensor:
    return total.sum(dims, keepdim=True) / weight.sum(dims, keepdim=True).clamp_min(1e-6)
