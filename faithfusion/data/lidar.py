"""LiDAR scans of DriveStudio's layouts and their projection into cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.data.layouts import LAYOUTS, WAYMO
from faithfusion.data.recorded_poses import clip_from_dataset, read_scan_pose
from faithfusion.types import Camera, DriveClip
from faithfusion.utils.errors import InputError

NEAR_PLANE_M = 0.05


def check_scan(path: Path, columns: int = WAYMO.scan_columns) -> Path:
    """`path` unchanged; InputError if its size is not a positive number of float32 rows of `columns`."""
    row_bytes = columns * 4
    num_bytes = path.stat().st_size
    if num_bytes == 0 or num_bytes % row_bytes:
        raise InputError(path, f"{num_bytes} bytes", f"a positive multiple of {row_bytes} (float32 rows of {columns})")
    return path


def load_points_world(clip: DriveClip, time_index: int) -> Float[Tensor, "n 3"]:
    """Points of the scan at one time stamp in the clip's world, metres; no rows without a scan.

    Points that are not finite (beams without a return) are dropped.
    """
    path = clip.lidar_paths[time_index]
    if path is None:
        return torch.zeros(0, 3)
    layout = LAYOUTS[clip.layout]
    rows = np.fromfile(check_scan(path, layout.scan_columns), dtype="<f4").reshape(-1, layout.scan_columns)
    points = torch.from_numpy(rows[:, layout.point_column : layout.point_column + 3].copy())
    points = points[torch.isfinite(points).all(-1)]
    if layout.scan_pose:
        pose = clip_from_dataset(clip.root, layout) @ read_scan_pose(clip.root, layout, time_index)
        world_from_scan = torch.from_numpy(pose).float()
    else:
        world_from_scan = clip.world_from_ego[time_index] @ torch.from_numpy(layout.body_from_flu.T).float()
    return points @ world_from_scan[:3, :3].T + world_from_scan[:3, 3]


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
