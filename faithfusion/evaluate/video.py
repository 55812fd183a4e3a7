"""Flicker: how much a static point changes its colour between neighbouring frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.data.lidar import project_points
from faithfusion.types import Camera

DEPTH_TOLERANCE = 0.05  # relative; a larger mismatch means the point is hidden in the other frame


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
        change = (sample_bilinear(video[t + 1], uv) - video[t]).abs().mean(-1)
        differences.append(change[visible])
    return float(torch.cat(differences).mean()) if differences else float("nan")


def follow_points(
    depth: Float[Tensor, "h w"], next_depth: Float[Tensor, "h w"], camera: Camera, next_camera: Camera
) -> tuple[Float[Tensor, "h w 2"], Bool[Tensor, "h w"]]:
    """Where the world point behind each pixel lies in the next frame, pixels, and whether it is seen there."""
    height, width = depth.shape
    uv, next_z, inside = project_points(unproject(depth, camera).reshape(-1, 3), next_camera)
    uv, next_z, inside = uv.reshape(height, width, 2), next_z.reshape(height, width), inside.reshape(height, width)
    seen_z = sample_bilinear(next_depth[..., None], uv)[..., 0]
    agrees = (seen_z - next_z).abs() < DEPTH_TOLERANCE * next_z
    return uv, inside & agrees & (depth > 0)


def unproject(depth: Float[Tensor, "h w"], camera: Camera) -> Float[Tensor, "h w 3"]:
    """World points of a depth image (camera z, metres), through pixel centres at +0.5."""
    height, width = depth.shape
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)], -1).to(depth)
    points = pixels @ torch.linalg.inv(camera.intrinsics).T.to(depth) * depth[..., None]
    pose = camera.world_from_camera.to(depth)
    return points @ pose[:3, :3].T + pose[:3, 3]


def sample_bilinear(image: Float[Tensor, "h w c"], uv: Float[Tensor, "h w 2"]) -> Float[Tensor, "h w c"]:
    """Image values at pixel positions `uv` (centres at +0.5); the edge repeats outside."""
    size = torch.tensor([image.shape[1], image.shape[0]]).to(uv)
    grid = (uv / size * 2.0 - 1.0)[None]
    batch = rearrange(image, "h w c -> 1 c h w")
    values = F.grid_sample(batch, grid.to(batch), mode="bilinear", padding_mode="border", align_corners=False)
    return rearrange(values, "1 c h w -> h w c")
