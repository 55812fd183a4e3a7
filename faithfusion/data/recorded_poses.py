"""Poses of the ego and the cameras as a layout stores them, in the data set's world."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from faithfusion.data.calibration_text import invert_rigid, read_pose
from faithfusion.data.layouts import OPENCV2DATASET, Layout
from faithfusion.utils.errors import InputError

FRONT_CAMERA = "0"


def pose_indices(root: Path, layout: Layout) -> list[int]:
    """Time stamps that have an ego pose. InputError if there is none."""
    folder = root / ("ego_pose" if layout.ego_pose else "extrinsics")
    ending = "" if layout.ego_pose else f"_{FRONT_CAMERA}"
    stems = [path.stem.removesuffix(ending) for path in folder.glob(f"*{ending}.txt")]
    indices = [int(stem) for stem in stems if stem.isdigit()]
    if not indices:
        raise InputError(folder, "no poses", f"one 4x4 matrix per frame: 000{ending}.txt, 001{ending}.txt, ...")
    return indices


def frame_number(root: Path, layout: Layout, t: int) -> int:
    """The number of time stamp t in the files' names: a drive cut out of a longer one may start at any number."""
    return min(pose_indices(root, layout)) + t


def read_ego_pose(root: Path, layout: Layout, t: int) -> np.ndarray:
    """[4, 4], ego (x forward, y left, z up) to the data set's world at one time stamp."""
    number = frame_number(root, layout, t)
    if layout.ego_pose:
        return read_pose(root / "ego_pose" / f"{number:03d}.txt") @ layout.body_from_flu
    front = read_pose(root / "extrinsics" / f"{number:03d}_{FRONT_CAMERA}.txt")
    return front @ layout.camera_from_opencv @ OPENCV2DATASET.T


def read_rig_pose(root: Path, layout: Layout, camera_name: str) -> np.ndarray | None:
    """[4, 4], camera (OpenCV axes) to ego; None if the layout stores every image's pose instead."""
    if layout.extrinsics_per_frame:
        return None
    stored = read_pose(root / "extrinsics" / f"{camera_name}.txt")
    return layout.body_from_flu.T @ stored @ layout.camera_from_opencv


def read_image_pose(
    root: Path, layout: Layout, t: int, camera_name: str, ego_from_camera: np.ndarray | None, ego_pose: np.ndarray
) -> np.ndarray:
    """[4, 4], camera (OpenCV axes) to the data set's world when it took image t.

    Where `ego_pose/{t}_{cam}.txt` exists, it is the vehicle's pose at that very moment, which is some milliseconds off
    the frame's `ego_pose` (the LiDAR's); `prepare_waymo` writes it.
    """
    number = frame_number(root, layout, t)
    if ego_from_camera is None:
        return read_pose(root / "extrinsics" / f"{number:03d}_{camera_name}.txt") @ layout.camera_from_opencv
    moment = root / "ego_pose" / f"{number:03d}_{camera_name}.txt"
    return (read_pose(moment) @ layout.body_from_flu if moment.is_file() else ego_pose) @ ego_from_camera


def read_scan_pose(root: Path, layout: Layout, t: int) -> np.ndarray:
    """[4, 4], the frame of the LiDAR's points to the data set's world."""
    if layout.scan_pose:
        return read_pose(root / "lidar_pose" / f"{frame_number(root, layout, t):03d}.txt")
    return read_ego_pose(root, layout, t) @ layout.body_from_flu.T


def clip_from_dataset(root: Path, layout: Layout) -> np.ndarray:
    """[4, 4], the data set's world to the clip's, whose first ego pose is the identity."""
    return invert_rigid(read_ego_pose(root, layout, 0))
