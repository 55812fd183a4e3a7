"""New trajectories: recorded camera poses moved along the ego's own axes."""

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
    return _moved(clip, camera_name, [shift_m] * clip.num_frames, max_shift_m)


def lane_change_cameras(
    clip: DriveClip,
    camera_name: str,
    shift_m: float,
    *,
    first_frame: int,
    num_ramp_frames: int,
    max_shift_m: float = MAX_SHIFT_M,
) -> list[Camera]:
    """A lane change: the shift grows smoothly (3 s^2 - 2 s^3) from 0 at `first_frame` over `num_ramp_frames` frames.

    Raises InputError as `shifted_cameras`, and for a ramp without length.
    """
    if num_ramp_frames < 1:
        raise InputError("num_ramp_frames", num_ramp_frames, "at least 1")
    progress = [min(max((t - first_frame) / num_ramp_frames, 0.0), 1.0) for t in range(clip.num_frames)]
    return _moved(clip, camera_name, [shift_m * s * s * (3.0 - 2.0 * s) for s in progress], max_shift_m)


def distance_from_path_m(clip: DriveClip, camera: Camera) -> float:
    """Distance of a camera's centre from the nearest of the paths on which the clip's cameras were driven, metres."""
    centre = camera.world_from_camera[:3, 3].cpu()
    nearest = []
    for name in clip.camera_names:
        path = torch.stack([clip.frame(t, name).camera.world_from_camera[:3, 3] for t in range(clip.num_frames)])
        begin, step = path[:-1], path[1:] - path[:-1]
        if len(step) == 0:
            begin, step = path, torch.zeros_like(path)
        along = ((centre - begin) * step).sum(-1) / step.square().sum(-1).clamp_min(1e-12)
        feet = begin + along.clamp(0.0, 1.0)[:, None] * step
        nearest.append(float((centre - feet).norm(dim=-1).min()))
    return min(nearest)


def _moved(clip: DriveClip, camera_name: str, shifts_m: list[float], max_shift_m: float) -> list[Camera]:
    if camera_name not in clip.camera_names:
        raise InputError(clip.root, f"no camera {camera_name!r}", f"one of {', '.join(clip.camera_names)}")
    return [
        shift_camera(clip.frame(t, camera_name).camera, clip.world_from_ego[t], shift_m, max_shift_m=max_shift_m)
        for t, shift_m in enumerate(shifts_m)
    ]
