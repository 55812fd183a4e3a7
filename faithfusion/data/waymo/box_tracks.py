"""Boxes of a Waymo segment as tracks in its world."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from faithfusion.data.calibration_text import yaw_pose
from faithfusion.data.drive_writer import BoxTrack
from faithfusion.data.waymo import components as c
from faithfusion.data.waymo.parquet_rows import Table
from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class _Box:
    pose: np.ndarray  # [4, 4], to the world
    size_m: np.ndarray
    points: int  # of all LiDARs
    top_points: int


@dataclass
class _Growing:
    class_name: str
    boxes: dict[int, _Box] = field(default_factory=dict)  # by frame


def read_tracks(
    data: Path, segment: str, times: list[int], poses: list[np.ndarray], *, synced: bool
) -> tuple[list[BoxTrack], list[BoxTrack]]:
    """(all tracks, the same without the frames in which no LiDAR point lies in the box, so likely hidden ones).

    `poses` [4, 4] take the vehicle to the world at each of `times`; boxes are stored in the vehicle's frame. With
    `synced` a box is the camera-synchronised one where there is one. Signs and unknown objects are left out.
    InputError for a damaged file and for boxes that are not finite or have no size.
    """
    table = Table(data, c.LIDAR_BOX, segment)
    kind, *counts = c.LIDAR_BOX.columns[7:]
    moved = _synced_boxes(data, segment) if synced else {}
    index = {time: t for t, time in enumerate(times)}
    growing: dict[str, _Growing] = {}
    for row in table.rows():
        time, name, class_name = int(row[c.TIME].as_py()), row[c.OBJECT].as_py(), c.CLASS_NAMES.get(row[kind].as_py())
        if time not in index or class_name is None:
            continue
        box = moved.get((time, name), _numbers(row, c.LIDAR_BOX.columns[:7]))
        if not np.isfinite(box).all() or (box[3:6] <= 0).any():
            raise InputError(f"{table.path}, object {name}", f"box {box.tolist()}", "finite numbers, positive sizes")
        pose = poses[index[time]] @ yaw_pose(box[:3], box[6])
        points, top_points = (int(row[column].as_py() or 0) for column in counts)
        growing.setdefault(name, _Growing(class_name)).boxes[index[time]] = _Box(pose, box[3:6], points, top_points)
    tracks = [_track(name, parts.class_name, parts.boxes) for name, parts in sorted(growing.items())]
    seen = [_only(track, [growing[track.track_id].boxes[t].points > 0 for t in track.frames]) for track in tracks]
    return tracks, [track for track in seen if track.frames]


def _synced_boxes(data: Path, segment: str) -> dict[tuple[int, str], np.ndarray]:
    table = Table(data, c.LIDAR_CAMERA_SYNCED_BOX, segment)
    boxes = {
        (int(row[c.TIME].as_py()), row[c.OBJECT].as_py()): _numbers(row, table.component.columns)
        for row in table.rows()
    }
    return {key: box for key, box in boxes.items() if np.isfinite(box).all()}


def _numbers(row: dict, columns: tuple[str, ...]) -> np.ndarray:
    numbers = [row[column].as_py() for column in columns]
    return np.array([np.nan if value is None else value for value in numbers], dtype=np.float64)


def _track(name: str, class_name: str, boxes: dict[int, _Box]) -> BoxTrack:
    frames = tuple(sorted(boxes))
    poses, sizes = np.stack([boxes[t].pose for t in frames]), np.stack([boxes[t].size_m for t in frames])
    return BoxTrack(name, class_name, frames, poses, sizes, tuple(boxes[t].top_points for t in frames))


def _only(track: BoxTrack, chosen: list[bool]) -> BoxTrack:
    frames, points = (tuple(itertools.compress(values, chosen)) for values in (track.frames, track.top_points or ()))
    return dataclasses.replace(
        track,
        frames=frames,
        world_from_box=track.world_from_box[chosen],
        size_m=track.size_m[chosen],
        top_points=points,
    )
