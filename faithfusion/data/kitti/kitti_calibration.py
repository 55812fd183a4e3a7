"""Calibration files of KITTI raw: `calib_cam_to_cam.txt`, `calib_velo_to_cam.txt`, `calib_imu_to_velo.txt`.

A point of the LiDAR reaches the rectified image of camera i by P_rect_i R_rect_00 (R | T), with P_rect_i = K (I | t):
all rectified cameras share the axes of camera 0, and t = K^-1 p, p being the last column of P_rect_i, leads from camera
0 to them (section IV of the paper).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faithfusion.data.calibration_text import invert_rigid, require_rigid
from faithfusion.data.drive_writer import RigCamera
from faithfusion.data.layouts import OPENCV2DATASET
from faithfusion.utils.errors import InputError

PIXEL_CENTRE = 0.5  # KITTI counts from the centre of the first pixel, we from its corner
ROTATION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class KittiCamera:
    """One rectified camera."""

    projection: np.ndarray  # P_rect, [3, 4], pixels
    size: tuple[int, int]  # width, height
    velo_from_camera: np.ndarray  # [4, 4], OpenCV camera axes (x right, y down, z forward)


@dataclass(frozen=True)
class KittiCalibration:
    """The rig of one day of recording. `cameras`: 0, 1 grey left and right, 2, 3 colour left and right."""

    cameras: dict[int, KittiCamera]
    velo_from_imu: np.ndarray  # [4, 4]


def read_calibration(folder: Path, numbers: tuple[int, ...]) -> KittiCalibration:
    """Reads the three files in `folder` for the cameras `numbers`. InputError for missing keys and bad values."""
    path = folder / "calib_cam_to_cam.txt"
    cameras = _read_keys(path)
    rectified_from_camera = np.eye(4)
    rectified_from_camera[:3, :3] = _matrix(cameras, path, "R_rect_00", (3, 3))
    rectified_from_velo = require_rigid(rectified_from_camera, path) @ _rigid(folder / "calib_velo_to_cam.txt")
    found = {number: _camera(cameras, path, number, rectified_from_velo) for number in numbers}
    return KittiCalibration(found, _rigid(folder / "calib_imu_to_velo.txt"))


def rig_camera(camera: KittiCamera, name: str, size: tuple[int, int]) -> RigCamera:
    """The camera as a drive has it, for an image resized to `size`. The ego frame is the LiDAR's."""
    scale_x, scale_y = size[0] / camera.size[0], size[1] / camera.size[1]
    (fx, _, cx, _), (_, fy, cy, _) = camera.projection[:2]
    pinhole = (
        fx * scale_x, fy * scale_y, (cx + PIXEL_CENTRE) * scale_x, (cy + PIXEL_CENTRE) * scale_y, *[0.0] * 5
    )  # fmt: skip
    return RigCamera(name, pinhole, camera.velo_from_camera @ invert_rigid(OPENCV2DATASET))


def _camera(keys: dict[str, np.ndarray], path: Path, number: int, rectified_from_velo: np.ndarray) -> KittiCamera:
    projection = _matrix(keys, path, f"P_rect_{number:02d}", (3, 4))
    width, height = _matrix(keys, path, f"S_rect_{number:02d}", (2,))
    if min(projection[0, 0], projection[1, 1]) <= 0:
        found = f"focal lengths {projection[0, 0]}, {projection[1, 1]}"
        raise InputError(f"{path}, P_rect_{number:02d}", found, "positive numbers")
    camera_from_rectified = np.eye(4)
    camera_from_rectified[:3, 3] = np.linalg.solve(projection[:, :3], projection[:, 3])
    velo_from_camera = invert_rigid(camera_from_rectified @ rectified_from_velo)
    return KittiCamera(projection, (int(width), int(height)), velo_from_camera)


def _rigid(path: Path) -> np.ndarray:
    keys, pose = _read_keys(path), np.eye(4)
    pose[:3, :3] = _matrix(keys, path, "R", (3, 3))
    pose[:3, 3] = _matrix(keys, path, "T", (3,))
    return require_rigid(pose, path)


def _matrix(keys: dict[str, np.ndarray], path: Path, key: str, shape: tuple[int, ...]) -> np.ndarray:
    if key not in keys or keys[key].size != np.prod(shape) or not np.isfinite(keys[key]).all():
        found = "no such key" if key not in keys else f"{keys[key].size} numbers"
        raise InputError(f"{path}, {key}", found, f"{np.prod(shape)} finite numbers")
    return keys[key].reshape(shape)


def _read_keys(path: Path) -> dict[str, np.ndarray]:
    """Lines `KEY: numbers`; lines of words (dates) are left out."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise InputError(path, found, "a calibration file of KITTI raw, in the folder of the day") from None
    keys = {}
    for line in lines:
        key, _, values = line.partition(":")
        try:
            keys[key.strip()] = np.array(values.split(), dtype=np.float64)
        except ValueError:
            continue
    return keys
