"""Tracked boxes of the DriveStudio layout: instances/instances_info.json and frame_instances.json."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from faithfusion.data.calibration_text import require_rigid
from faithfusion.types import Track
from faithfusion.utils.errors import InputError
from faithfusion.utils.json_files import read_json

MOVING_DISTANCE_M = 1.0  # labels of parked cars jitter by a few decimetres
NON_RIGID_WORDS = ("pedestrian", "person", "human", "cyclist", "bicycl", "rider", "animal")
"""A class whose name contains one of these changes shape (names of Waymo, nuScenes, Argoverse, KITTI, PandaSet)."""


def is_non_rigid(class_name: str) -> bool:
    """Whether objects of a class change their shape while they move: people, alone or on a bicycle."""
    return any(word in class_name.lower() for word in NON_RIGID_WORDS)


def leaves_its_place(centres_m: np.ndarray) -> bool:
    """Whether box centres [n, 3] get further than `MOVING_DISTANCE_M` from the first."""
    return bool(np.linalg.norm(centres_m - centres_m[0], axis=-1).max() > MOVING_DISTANCE_M)


@dataclass(frozen=True)
class FrameNumbers:
    """Numbers of frames in a drive's files: `total` from `first` on, of which the first `length` are read."""

    first: int
    total: int
    length: int

    def index(self, where: str | Path, number: object) -> int:
        """The time stamp of a frame's number, counted from 0. InputError for a frame outside the drive."""
        if not str(number).isdigit() or not 0 <= int(str(number)) - self.first < self.total:
            last = self.first + self.total - 1
            raise InputError(where, f"a box at frame {number}", f"frames {self.first} to {last} of the clip")
        return int(str(number)) - self.first


def read_tracks(
    folder: Path, clip_from_dataset: np.ndarray, numbers: FrameNumbers, *, body_from_flu: np.ndarray | None = None
) -> tuple[Track, ...] | None:
    """Tracks of the frames that are read with box poses in the clip's world; None without a box file.

    `body_from_flu` [4, 4] turns x forward, y left, z up into the axes of the stored boxes (the same if None). A track's
    size is its mean over the frames; it is moving if its centre leaves its first place by more than
    `MOVING_DISTANCE_M`. Raises InputError for damaged files and for boxes at frames outside the clip.
    """
    path = folder / "instances_info.json"
    if not path.is_file():
        return None
    info = _read_object(path)
    _check_frame_lists(folder / "frame_instances.json", info, numbers)
    axes = np.eye(4) if body_from_flu is None else body_from_flu
    tracks = [_read_track(path, key, entry, clip_from_dataset, axes, numbers) for key, entry in info.items()]
    return tuple(track for track in tracks if track is not None)


def _read_object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(path, f"a JSON {type(content).__name__}", "a JSON object keyed by instance or frame")
    return content


def _check_frame_lists(path: Path, info: dict[str, Any], numbers: FrameNumbers) -> None:
    for frame, ids in (_read_object(path) if path.is_file() else {}).items():
        numbers.index(path, frame)
        unknown = [str(i) for i in ids if str(i) not in info]
        if unknown:
            raise InputError(path, f"frame {frame} lists instances {', '.join(unknown)}", "ids of instances_info.json")


def _read_track(
    path: Path, key: str, entry: Any, clip_from_dataset: np.ndarray, axes: np.ndarray, numbers: FrameNumbers
) -> Track | None:
    where = f"{path}, instance {key}"
    frames, poses, sizes, top_points = _annotation_arrays(where, entry)
    indices = np.array([numbers.index(where, frame) for frame in frames], dtype=np.int64)
    if len(np.unique(indices)) != len(indices):
        raise InputError(where, "two boxes at one frame", "one box per frame")
    order = np.argsort(indices)
    poses = np.stack([clip_from_dataset @ require_rigid(pose, where) @ axes for pose in poses[order]])
    indices = indices[order]
    inside = indices < numbers.length
    if not inside.any():
        return None
    return Track(
        track_id=str(key),
        class_name=str(entry.get("class_name", "unknown")),
        size_m=torch.from_numpy(np.abs(axes[:3, :3].T) @ sizes.mean(0)).float(),
        time_indices=torch.from_numpy(indices[inside]),
        world_from_box=torch.from_numpy(poses[inside]).float(),
        is_moving=leaves_its_place(poses[:, :3, 3]),
        top_points=None if top_points is None else torch.from_numpy(top_points[order][inside]),
    )


def _annotation_arrays(where: str, entry: Any) -> tuple[list, np.ndarray, np.ndarray, np.ndarray | None]:
    try:
        notes = entry["frame_annotations"]
        frames = list(notes["frame_idx"])
        poses = np.asarray(notes["obj_to_world"], dtype=np.float64).reshape(len(frames), 4, 4)
        sizes = np.asarray(notes["box_size"], dtype=np.float64).reshape(len(frames), 3)
        counts = notes.get("num_top_lidar_points")
        top_points = None if counts is None else np.asarray(counts, dtype=np.int64).reshape(len(frames))
    except (KeyError, TypeError, ValueError) as error:
        expected = "frame_annotations with frame_idx [n], obj_to_world [n, 4, 4], box_size [n, 3], one number of points"
        raise InputError(where, f"unreadable annotations ({error})", expected) from None
    if not frames or not np.isfinite(sizes).all() or (sizes <= 0).any():
        raise InputError(where, f"{len(frames)} boxes, sizes {sizes.tolist()[:3]}", "at least one box of positive size")
    return frames, poses, sizes, top_points
