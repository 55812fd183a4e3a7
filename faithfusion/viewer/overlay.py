"""Lines in the 3D scene: frusta of the recorded cameras, the driven path, boxes of moving objects."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, product

import numpy as np
import torch
from jaxtyping import Float

from faithfusion.scene.graph import node_poses
from faithfusion.types import Camera, DriveClip, RigidNode
from faithfusion.viewer.state import ViewState
from faithfusion.viewer.view_cameras import ridden_camera

FRUSTUM_DEPTH_M, RIG_DEPTH_M = 0.4, 0.8
MAX_FRUSTA = 20
"""At most so many frusta are drawn per camera, evenly spread over the drive."""
PATH_LIFT_M = 0.05
HIDE_WITHIN_M = 0.5
"""Frusta whose tip is closer than this to the viewer's eye would only stand in its way."""
CLEAR_SHIFT_M = 1.0
"""A camera shifted by at least this much passes beside the drive's frusta and the ego's path, not through them."""


@dataclass(frozen=True)
class Lines:
    """Line segments [n, 2, 3] that are made when they are needed; equal keys mean equal lines."""

    key: Hashable
    make: Callable[[], np.ndarray]


def box_lines(nodes: tuple[RigidNode, ...], time_index: int) -> Float[np.ndarray, "n 2 3"]:
    """The 12 edges of every node that is there at a time stamp, in the world."""
    if not nodes:
        return np.zeros((0, 2, 3), np.float32)
    poses, present = node_poses(nodes, time_index, torch.zeros(1))
    corners = np.array(list(product((-0.5, 0.5), repeat=3)))
    edges = [(a, b) for a, b in combinations(range(8), 2) if np.count_nonzero(corners[a] != corners[b]) == 1]
    lines = []
    for node, pose, is_present in zip(nodes, poses.numpy(), present.tolist(), strict=True):
        if is_present:
            placed = corners * node.size_m.cpu().numpy() @ pose[:3, :3].T + pose[:3, 3]
            lines.append(placed[edges])
    return np.concatenate(lines).astype(np.float32) if lines else np.zeros((0, 2, 3), np.float32)


def frustum_lines(camera: Camera, depth_m: float) -> Float[np.ndarray, "8 2 3"]:
    """Lines from the camera's centre to the corners of its image `depth_m` metres ahead, and around the image."""
    x, y = np.array([0, camera.width, camera.width, 0]), np.array([0, 0, camera.height, camera.height])
    rays = np.stack([x, y, np.ones(4)], -1) @ np.linalg.inv(camera.intrinsics.cpu().double().numpy()).T
    pose = camera.world_from_camera.cpu().double().numpy()
    corners = depth_m * rays @ pose[:3, :3].T + pose[:3, 3]
    sides = [np.stack([np.broadcast_to(pose[:3, 3], (4, 3)), corners], 1)]
    sides.append(np.stack([corners, np.roll(corners, -1, axis=0)], 1))
    return np.concatenate(sides).astype(np.float32)


def frusta_lines(cameras: Sequence[Camera], depth_m: float) -> Float[np.ndarray, "n 2 3"]:
    """`frustum_lines` of several cameras."""
    return np.concatenate([np.zeros((0, 2, 3), np.float32)] + [frustum_lines(camera, depth_m) for camera in cameras])


def drive_lines(clip: DriveClip) -> Float[np.ndarray, "n 2 3"]:
    """Frusta of all cameras along the drive."""
    times = range(0, clip.num_frames, max(1, -(-clip.num_frames // MAX_FRUSTA)))
    return frusta_lines([clip.frame(t, name).camera for t in times for name in clip.camera_names], FRUSTUM_DEPTH_M)


def path_lines(clip: DriveClip) -> Float[np.ndarray, "n 2 3"]:
    """The way of the ego's origin, a little raised: on many data sets it lies on the road."""
    points = clip.world_from_ego[:, :3, 3] + PATH_LIFT_M * clip.world_from_ego[:, :3, 2]
    return torch.stack([points[:-1], points[1:]], 1).numpy()


def frame_lines(camera: Camera) -> Float[np.ndarray, "4 2 3"]:
    """The edge of a camera's image: what lies outside was never in its picture."""
    return frustum_lines(camera, RIG_DEPTH_M)[4:]


def scene_lines(clip: DriveClip, nodes: tuple[RigidNode, ...], state: ViewState, camera: Camera) -> dict[str, Lines]:
    """Everything that is drawn in a state seen by `camera`, by name: frusta along the drive ("drive") and of the rig at
    this time ("rig"), the ego's "path", "boxes" of moving objects, and the "frame" of the image that is ridden along.
    """
    if not state.lines:
        return {}
    time_index, eye_m = state.time_index, camera.world_from_camera[:3, 3]
    rig = [clip.frame(time_index, name).camera for name in clip.camera_names]
    away = [c for c in rig if float((c.world_from_camera[:3, 3] - eye_m).norm()) > HIDE_WITHIN_M]
    lines = {
        "boxes": Lines((state.version, time_index), partial(box_lines, nodes, time_index)),
        "rig": Lines((time_index, *(c.name for c in away)), partial(frusta_lines, away, RIG_DEPTH_M)),
    }
    if state.free is not None or abs(state.shift_m) >= CLEAR_SHIFT_M:
        lines["drive"] = Lines((), partial(drive_lines, clip))
    if float((clip.world_from_ego[:, :3, 3] - eye_m).norm(dim=-1).min()) > CLEAR_SHIFT_M:
        lines["path"] = Lines((), partial(path_lines, clip))
    if state.free is None:
        key = (time_index, state.camera_name, state.shift_m)
        lines["frame"] = Lines(key, partial(frame_lines, ridden_camera(clip, state)))
    return lines
