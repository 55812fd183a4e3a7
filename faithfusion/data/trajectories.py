"""Recorded camera poses moved along the ego's own axes, and how far that leads from the recorded paths."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.types import Camera, DriveClip
from faithfusion.utils.errors import InputError

MAX_SHIFT_M = 10.0  # beyond the neighbouring lanes nothing was observed that could support a view


def shift_camera(
    camera: Camera, world_from_ego: Float[Tensor, "4 4"], shift_m: float, *, max_shift_m: float = MAX_SHIFT_M
) -> Camera:
    """The camera moved `shift_m` metres to the left along the ego's y axis (right if negative).

    Raises InputError if |shift_m| > max_shift_m or shift_m is not finite.
    """
    return move_camera(camera, world_from_ego, (0.0, shift_m, 0.0), max_shift_m=max_shift_m)


def move_camera(
    camera: Camera,
    world_from_ego: Float[Tensor, "4 4"],
    offset_ego_m: Sequence[float],
    *,
    max_shift_m: float = MAX_SHIFT_M,
) -> Camera:
    """The camera moved by `offset_ego_m` = (forward, left, up) metres in the ego's axes; its orientation stays.

    Raises InputError if an offset exceeds max_shift_m or is not finite.
    """
    for value in offset_ego_m:
        if not math.isfinite(value) or abs(value) > max_shift_m:
            raise InputError("shift_m", f"{value} m", f"at most {max_shift_m:g} m to either side")
    offset = torch.tensor(offset_ego_m, dtype=torch.float32, device=camera.world_from_camera.device)
    pose = camera.world_from_camera.clone()
    pose[:3, 3] += world_from_ego[:3, :3].to(pose) @ offset.to(pose)
    return dataclasses.replace(camera, world_from_camera=pose)


def shifted_cameras(
    clip: DriveClip, camera_name: str, shift_m: float, *, max_shift_m: float = MAX_SHIFT_M
) -> list[Camera]:
    """The camera at every time stamp, driven `shift_m` metres to the left of the recorded lane.

    Raises InputError as `shift_camera`, and for an unknown camera.
    """
    if camera_name not in clip.camera_names:
        raise InputError(clip.root, f"no camera {camera_name!r}", f"one of {', '.join(clip.camera_names)}")
    return [
        shift_camera(clip.frame(t, camera_name).camera, clip.world_from_ego[t], shift_m, max_shift_m=max_shift_m)
        for t in range(clip.num_frames)
    ]


def distance_from_path_m(clip: DriveClip, camera: Camera) -> float:
    """Distance of a camera's centre from the nearest of the paths on which the clip's cameras were driven, metres."""
    centre = camera.world_from_camera[:3, 3].cpu()
    nearest = []
    for name in clip.camera_names:
        path = torch.stack([clip.frame(t, name).camera.world_from_camera[:3, 3] for t in range(clip.num_frames)])
        nearest.append(float(distance_to_line_m(centre[None], path)))
    return min(nearest)


def distance_to_line_m(points: Float[Tensor, "m 3"], line: Float[Tensor, "n 3"]) -> Float[Tensor, " m"]:
    """Distance of points from the line through `line`, corner by corner (a point if it has one), metres."""
    begin, step = line[:-1], line[1:] - line[:-1]
    if len(step) == 0:
        begin, step = line, torch.zeros_like(line)
    along = ((points[:, None] - begin) * step).sum(-1) / step.square().sum(-1).clamp_min(1e-12)
    feet = begin + along.clamp(0.0, 1.0)[..., None] * step
    return (points[:, None] - feet).norm(dim=-1).amin(1)
