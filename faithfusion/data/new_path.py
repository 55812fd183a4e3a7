"""A trajectory laid out over a drive: where the ego goes at every time stamp, in stages from the recorded path."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from faithfusion.data.drive_reader import clip_from_dataset_world
from faithfusion.data.pose_files import read_ego_poses
from faithfusion.data.trajectories import MAX_SHIFT_M, distance_to_line_m
from faithfusion.data.trajectory_config import TrajectoryEntry, check_entries, constant_shift_m, describe_entries
from faithfusion.types import Camera, DriveClip
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain

MAX_YAW_DEG = 180.0


@dataclass(frozen=True)
class NewPath:
    """A trajectory over the poses of one drive, or its share `stage / of_stages` on the way there.

    The share multiplies shift, raise and yaw; poses of a file are blended from the recorded ones (translation linear,
    rotation along the shortest arc).

    Attributes:
        entries: what was asked for.
        recorded: recorded world_from_ego in the clip's world, float64.
        replaced: the poses of a file in its place, if there is one.
        stage: number of this stage, from 1.
        of_stages: how many stages lead to the whole trajectory.
    """

    entries: tuple[TrajectoryEntry, ...]
    recorded: Float[np.ndarray, "t 4 4"]
    replaced: Float[np.ndarray, "t 4 4"] | None = None
    stage: int = 1
    of_stages: int = 1

    @property
    def shift_m(self) -> float | None:
        """The lateral shift of this stage if it is the same everywhere and nothing else changes, else None."""
        shift_m = constant_shift_m(self.entries)
        return None if shift_m is None else shift_m * self.stage / self.of_stages

    @property
    def name(self) -> str:
        """Short name of the stage, unique within a run: "shift +1.00 m" or "trajectory 1 of 3"."""
        shift_m = self.shift_m
        return f"trajectory {self.stage} of {self.of_stages}" if shift_m is None else f"shift {shift_m:+.2f} m"

    @property
    def chance_name(self) -> str:
        """Names the stage's stream of chance: pure shifts of the same distance draw the same, however asked for."""
        return self.name if self.shift_m is None else str(self.shift_m)

    @property
    def place(self) -> str:
        """The place in words: "at +3.00 m" or "on the new trajectory"."""
        return "on the new trajectory" if self.shift_m is None else f"at {self.shift_m:+.2f} m"

    @property
    def title(self) -> str:
        """What was asked for in words: "+3.00 m" or "shift +3.00 m over 20-50 m"."""
        return describe_entries(self.entries) if self.shift_m is None else f"{self.shift_m:+.2f} m"

    def key(self) -> tuple[Any, ...]:
        """Plain values that change whenever the path over the same drive does."""
        poses = None if self.replaced is None else hashlib.sha256(self.replaced.round(6).tobytes()).hexdigest()
        return to_plain(self.entries), poses, self.stage, self.of_stages

    def facts(self) -> dict[str, Any]:
        """What a stored scene says about the path it was refined on, as JSON data."""
        return {"trajectory": to_plain(self.entries), "shift_m": self.shift_m}

    def offsets(self) -> Float[np.ndarray, "t 3"]:
        """Shift in metres, raise in metres and yaw in degrees at every time stamp."""
        along = driven_m(self.recorded)
        total = np.zeros((len(along), 3))
        for entry in self.entries:
            change = np.array([entry.shift_m, entry.raise_m, entry.yaw_deg]) * self.stage / self.of_stages
            total += _growth(along, entry.over_m)[:, None] * change
        return total

    def world_from_ego(self) -> Float[np.ndarray, "t 4 4"]:
        """Ego poses of the new path: the (blended) base pose, moved along its own y and z axes, then turned."""
        base = self.recorded
        if self.replaced is not None:
            base = _blend(self.recorded, self.replaced, self.stage / self.of_stages)
        shift_m, raise_m, yaw_deg = self.offsets().T
        poses = base.copy()
        poses[:, :3, 3] += base[:, :3, 1] * shift_m[:, None] + base[:, :3, 2] * raise_m[:, None]
        if yaw_deg.any():
            poses[:, :3, :3] = base[:, :3, :3] @ Rotation.from_euler("z", yaw_deg[:, None], degrees=True).as_matrix()
        return poses

    def displacement_m(self) -> Float[np.ndarray, " t"]:
        """How far the path leads away from the recorded one, metres: length of shift and raise, plus the distance of a
        file's pose from the recorded path. Being earlier or later on the recorded path is no displacement."""
        away = np.hypot(*self.offsets().T[:2])
        if self.replaced is not None:
            base = _blend(self.recorded, self.replaced, self.stage / self.of_stages)
            line, points = (torch.from_numpy(poses[:, :3, 3]) for poses in (self.recorded, base))
            away = away + distance_to_line_m(points, line).numpy()
        return away

    def stages(self, count: int) -> list[NewPath]:
        """`count` equal steps from the recorded path; the last one is the whole trajectory."""
        return [dataclasses.replace(self, stage=number, of_stages=count) for number in range(1, count + 1)]


def lay_out(
    entries: Sequence[TrajectoryEntry],
    recorded: Float[np.ndarray, "t 4 4"],
    clip_from_drive: Float[np.ndarray, "4 4"],
    *,
    max_shift_m: float = MAX_SHIFT_M,
) -> NewPath:
    """The trajectory over recorded ego poses (clip's world). `clip_from_drive` takes the drive's own world there.

    Raises InputError for a stretch beyond the end of the drive, for poses in a file that are missing, damaged or not
    one per time stamp, and for a path more than `max_shift_m` away from the recorded one or turned by more than half a
    turn.
    """
    check_entries(entries)
    recorded = np.asarray(recorded, dtype=np.float64)
    along = driven_m(recorded)
    for entry in entries:
        if entry.over_m is not None and entry.over_m[1] > along[-1]:
            expected = f"a stretch of the {math.floor(10 * along[-1]) / 10:g} m that were driven"
            raise InputError("trajectory.over_m", list(entry.over_m), expected)
    replaced = None
    for entry in entries:
        if entry.poses is not None:
            clip_from_file = clip_from_drive if entry.poses_world == "drive" else np.eye(4)
            replaced = clip_from_file @ read_ego_poses(Path(entry.poses), len(recorded))
    path = NewPath(tuple(entries), recorded, replaced)
    away, yaw_deg = path.displacement_m(), np.abs(path.offsets()[:, 2])
    if away.max() > max_shift_m + 1e-6:
        found = f"{away.max():.4g} m from the recorded path, {along[away.argmax()]:.1f} m into the drive"
        raise InputError("trajectory", found, f"at most {max_shift_m:g} m")
    if yaw_deg.max() > MAX_YAW_DEG:
        raise InputError("trajectory.yaw_deg", f"{yaw_deg.max():g} degrees", f"at most {MAX_YAW_DEG:g} to either side")
    return path


def clip_path(clip: DriveClip, entries: Sequence[TrajectoryEntry]) -> NewPath:
    """The trajectory over a clip. Raises InputError as `lay_out`."""
    return lay_out(entries, clip.world_from_ego.double().numpy(), clip_from_dataset_world(clip.root, clip.layout))


def path_cameras(clip: DriveClip, camera_name: str, path: NewPath) -> list[Camera]:
    """One camera of the rig at every time stamp of the new path; the rig stays rigid. InputError: unknown camera."""
    if camera_name not in clip.camera_names:
        raise InputError(clip.root, f"no camera {camera_name!r}", f"one of {', '.join(clip.camera_names)}")
    moves = path.world_from_ego() @ np.linalg.inv(path.recorded)
    cameras = []
    for t, move in enumerate(moves):
        camera = clip.frame(t, camera_name).camera
        pose = torch.from_numpy(move) @ camera.world_from_camera.double()
        cameras.append(dataclasses.replace(camera, world_from_camera=pose.to(camera.world_from_camera)))
    return cameras


def driven_m(world_from_ego: Float[np.ndarray, "t 4 4"]) -> Float[np.ndarray, " t"]:
    """Metres driven from the first pose to each."""
    steps = np.linalg.norm(np.diff(world_from_ego[:, :3, 3], axis=0), axis=-1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _growth(along_m: Float[np.ndarray, " t"], over_m: tuple[float, float] | None) -> Float[np.ndarray, " t"]:
    """3 s^2 - 2 s^3 over the stretch, 0 before and 1 after: no jump in place or direction. 1 without a stretch."""
    if over_m is None:
        return np.ones_like(along_m)
    s = np.clip((along_m - over_m[0]) / (over_m[1] - over_m[0]), 0.0, 1.0)
    return s * s * (3.0 - 2.0 * s)


def _blend(
    start: Float[np.ndarray, "t 4 4"], end: Float[np.ndarray, "t 4 4"], share: float
) -> Float[np.ndarray, "t 4 4"]:
    turn = Rotation.from_matrix(start[:, :3, :3].swapaxes(1, 2) @ end[:, :3, :3]).as_rotvec()
    poses = start.copy()
    poses[:, :3, :3] = start[:, :3, :3] @ Rotation.from_rotvec(share * turn).as_matrix()
    poses[:, :3, 3] += share * (end[:, :3, 3] - start[:, :3, 3])
    return poses
