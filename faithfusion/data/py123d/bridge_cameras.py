"""Cameras of a py123d scene. Their extrinsics lead to the inertial unit, camera axes are OpenCV's.

The ego frame of the drive is the rear axle's: x forward, y left, z up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from faithfusion.data.calibration_text import invert_rigid
from faithfusion.data.drive_writer import RigCamera
from faithfusion.data.layouts import OPENCV2DATASET
from faithfusion.utils.errors import InputError

PINHOLE = "PINHOLE"


@dataclass(frozen=True)
class BridgeCamera:
    """A camera of the scene and how it is written. `source_uv` [H, W, 2]: for cameras that are no pinholes, where each
    pixel of the written pinhole image lies in the recorded one."""

    camera_id: Any
    rig: RigCamera
    ego_from_camera: np.ndarray  # [4, 4], OpenCV camera axes
    source_uv: np.ndarray | None = None


def ego_from_imu(scene: Any) -> np.ndarray:
    """[4, 4] from the inertial unit, py123d's frame of reference, to the rear axle. InputError without ego states."""
    metadata = scene.get_ego_state_se3_metadata()
    if metadata is None:
        raise InputError(scene.log_name, "no ego states", "a log with ego poses")
    return invert_rigid(matrix(metadata.rear_axle_to_imu_se3))


def matrix(pose: Any) -> np.ndarray:
    """A py123d pose as a float64 matrix [4, 4]."""
    return np.asarray(pose.transformation_matrix, dtype=np.float64)


def choose_cameras(scene: Any, names: Sequence[str] | None, fov_deg: float) -> list[BridgeCamera]:
    """The cameras called `names` (all pinholes if None) as "0", "1", ... InputError for names the scene has not.

    Names are py123d's ids ("pcam_f0") or the data set's. Cameras that are no pinholes are written as ones of `fov_deg`.
    """
    present = {camera_id.serialize(): data for camera_id, data in scene.get_camera_metadatas().items()}
    by_name = {**{data.camera_name: data for data in present.values()}, **present}
    if names is None:
        names = [name for name, data in present.items() if data.camera_model.name == PINHOLE]
    unknown = [name for name in names if name not in by_name]
    if unknown or not names:
        found = f"no camera {unknown[0]!r}" if unknown else "no pinhole camera"
        raise InputError(scene.log_name, found, f"one or more of {', '.join(present)}")
    to_ego = ego_from_imu(scene)
    return [make_camera(by_name[name], str(i), to_ego, fov_deg) for i, name in enumerate(names)]


def make_camera(data: Any, name: str, to_ego: np.ndarray, fov_deg: float) -> BridgeCamera:
    """Calibration of one camera; `to_ego` is `ego_from_imu`. InputError for a pinhole without or with skewed K."""
    ego_from_camera = to_ego @ matrix(data.camera_to_imu_se3)
    source_uv = None
    if data.camera_model.name == PINHOLE:
        k = data.intrinsics
        if k is None or abs(k.skew) > 0:
            found = "no intrinsics" if k is None else f"skew {k.skew}"
            raise InputError(f"camera {data.camera_name}", found, "a pinhole without skew")
        bent = data.distortion is not None and not data.is_undistorted
        lens = np.asarray(data.distortion.array, dtype=np.float64) if bent else np.zeros(5)
        pinhole = (float(k.fx), float(k.fy), float(k.cx), float(k.cy), *map(float, lens))
    else:
        focal = 0.5 * data.width / np.tan(np.radians(0.5 * fov_deg))
        pinhole = (focal, focal, 0.5 * data.width, 0.5 * data.height, *[0.0] * 5)
        source_uv = rectifying_map(data, pinhole)
    rig = RigCamera(name, pinhole, ego_from_camera @ invert_rigid(OPENCV2DATASET))
    return BridgeCamera(data.camera_id, rig, ego_from_camera, source_uv)


def rectifying_map(data: Any, pinhole: Sequence[float]) -> np.ndarray:
    """[H, W, 2]: pixels of the recorded image that the pixels of a pinhole image of the same size show."""
    fx, fy, cx, cy = pinhole[:4]
    u, v = np.meshgrid(np.arange(data.width) + 0.5, np.arange(data.height) + 0.5)
    rays = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones_like(u)], -1).reshape(-1, 3)
    return np.asarray(data.project_to_image(rays)[0]).reshape(data.height, data.width, 2)


def resample(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear values of uint8 [H, W, 3] at `uv` [..., 2] (pixel centres at +0.5); black outside."""
    height, width = image.shape[:2]
    x, y = uv[..., 0] - 0.5, uv[..., 1] - 0.5
    inside = (x > -0.5) & (y > -0.5) & (x < width - 0.5) & (y < height - 0.5)
    x, y = np.clip(np.where(inside, x, 0.0), 0, width - 1), np.clip(np.where(inside, y, 0.0), 0, height - 1)
    left, top = np.minimum(x.astype(int), max(width - 2, 0)), np.minimum(y.astype(int), max(height - 2, 0))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    a, b = (x - left)[..., None], (y - top)[..., None]
    pixels = image.astype(np.float32)
    upper = (1 - a) * pixels[top, left] + a * pixels[top, right]
    lower = (1 - a) * pixels[bottom, left] + a * pixels[bottom, right]
    return np.where(inside[..., None], (1 - b) * upper + b * lower + 0.5, 0.0).astype(np.uint8)
