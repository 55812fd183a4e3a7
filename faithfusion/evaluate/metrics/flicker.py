"""Flicker: how much a static point changes its colour between neighbouring frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.render.reproject import sample_image, sight, world_points
from faithfusion.types import Camera


def warp_error(
    video: Float[Tensor, "t h w 3"],
    depths: Float[Tensor, "t h w"],
    cameras: Sequence[Camera],
    region: Bool[Tensor, "t h w"] | None = None,
) -> float:
    """Mean absolute colour difference of each pixel and the same world point in the next frame.

    Points are followed by depth (camera z, metres; 0 = none) and camera motion, so they are taken as static; points
    that leave the image or are hidden in the next frame do not count. `region`: pixels of the earlier frame that count.
    NaN if no pixel is left.
    """
    differences = []
    for t in range(len(cameras) - 1):
        uv, visible = follow_points(depths[t], depths[t + 1], cameras[t], cameras[t + 1])
        if region is not None:
            visible = visible & region[t]
        change = (sample_image(video[t + 1], uv) - video[t]).abs().mean(-1)
        differences.append(change[visible])
    return float(torch.cat(differences).mean()) if differences else float("nan")


def follow_points(
    depth: Float[Tensor, "h w"], next_depth: Float[Tensor, "h w"], camera: Camera, next_camera: Camera
) -> tuple[Float[Tensor, "h w 2"], Bool[Tensor, "h w"]]:
    """Where the world point behind each pixel lies in the next frame, pixels, and whether it is seen there."""
    sighting = sight(world_points(depth, camera), next_camera)
    return sighting.uv, sighting.is_shown(next_depth) & (depth > 0)
