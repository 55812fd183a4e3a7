"""LiDAR scans of the DriveStudio layout and their projection into cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.types import Camera, DriveClip
from faithfusion.utils.errors import InputError

SCAN_COLUMNS = 14  # origin 3, point 3, flow 3, flow class, ground label, intensity, elongation, laser id
POINT_COLUMNS = slice(3, 6)
NEAR_PLANE_M = 0.05


def check_scan(path: Path) -> Path:
    """`path` unchanged; InputError if its size is not a positive number of 14-column float32 rows."""
    row_bytes = SCAN_COLUMNS * 4
    num_bytes = path.stat().st_size
    if num_bytes == 0 or num_bytes % row_bytes:
        raise InputError(
            path, f"{num_bytes} bytes", f"a positive multiple of {row_bytes} (float32 rows of {SCAN_COLUMNS})"
        )
    return path


def load_points_world(clip: DriveClip, time_index: int) -> Float[Tensor, "n 3"]:
    """Points of the scan at one time stamp in the clip's world, metres; no rows without a scan.

    Points that are not finite (beams without a return) are dropped.
    """
    path = clip.lidar_paths[time_index]
    if path is None:
        return torch.zeros(0, 3)
    rows = np.fromfile(check_scan(path), dtype="<f4").reshape(-1, SCAN_COLUMNS)
    points_ego = torch.from_numpy(rows[:, POINT_COLUMNS].copy())
    points_ego = points_ego[torch.isfinite(points_ego).all(-1)]
    world_from_ego = clip.world_from_ego[time_index]
    return points_ego @ world_from_ego[:3, :3].T + world_from_ego[:3, 3]


def project_points(
    points_world: Float[Tensor, "n 3"], camera: Camera
) -> tuple[Float[Tensor, "n 2"], Float[Tensor, " n"], Bool[Tensor, " n"]]:
    """(uv in pixels with centres at +0.5, camera z in metres, inside = in front of the camera and in the image)."""
    camera_from_world = camera.camera_from_world
    points = points_world @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    depth = points[:, 2]
    homogeneous = points @ camera.intrinsics.T
    uv = homogeneous[:, :2] / depth.clamp_min(NEAR_PLANE_M)[:, None]
    size = torch.tensor([camera.width, camera.height], device=uv.device)
    inside = (depth > NEAR_PLANE_M) & (uv >= 0).all(-1) & (uv < size).all(-1)
    return uv, depth, inside


def lidar_depth(points_world: Float[Tensor, "n 3"], camera: Camera) -> Float[Tensor, "h w"]:
    """Sparse depth image, camera z in metres; 0 where no point falls, the nearest point where several do."""
    uv, depth, inside = project_points(points_world, camera)
    column, row = uv[inside].long().unbind(-1)
    image = torch.full((camera.height * camera.width,), torch.inf, dtype=depth.dtype, device=depth.device)
    image.scatter_reduce_(0, row * camera.width + column, depth[inside], reduce="amin")
    return torch.where(torch.isfinite(image), image, 0.0).reshape(camera.height, camera.width)
