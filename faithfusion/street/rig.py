"""The poses of the ego vehicle, its cameras and the cars, and the rays of its LiDAR."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faithfusion.data.calibration_text import yaw_pose
from faithfusion.data.layouts import OPENCV2DATASET
from faithfusion.street.street_config import CAMERA_YAWS_DEG, HFOV_DEG, StreetConfig
from faithfusion.street.street_plan import CarPlan, StreetPlan, numpy_stream

CAMERA_HEIGHT_M = 1.6
LIDAR_IN_EGO = np.array([1.2, 0.0, 1.9])
LIDAR_ELEVATIONS_DEG = (-22.0, 8.0)


@dataclass(frozen=True)
class View:
    """A camera at a pose: intrinsics [3, 3], OpenCV `world_from_camera` [4, 4], size in pixels."""

    intrinsics: np.ndarray
    world_from_camera: np.ndarray
    width: int
    height: int


def camera_intrinsics(config: StreetConfig) -> np.ndarray:
    """Pinhole matrix [3, 3] with the principal point in the image's middle."""
    focal = 0.5 * config.width / np.tan(np.radians(0.5 * HFOV_DEG))
    return np.array([[focal, 0, 0.5 * config.width], [0, focal, 0.5 * config.height], [0, 0, 1.0]])


def ego_from_camera(camera_name: str) -> np.ndarray:
    """Pose [4, 4] of a camera in the ego frame, camera axes x forward, y left, z up (as in Waymo's extrinsics)."""
    yaw = np.radians(CAMERA_YAWS_DEG[camera_name])
    side = float(np.sign(yaw))
    return yaw_pose((1.5 - 0.1 * abs(side), 0.15 * side, CAMERA_HEIGHT_M), yaw)


def ego_poses(config: StreetConfig, plan: StreetPlan) -> np.ndarray:
    """world_from_ego [T, 4, 4]: along the lane at a slowly changing speed, swaying a little, yaw along the path."""
    rng = numpy_stream(config.seed, "ego")
    sway, sway_s, phase = rng.uniform(0.1, 0.22), rng.uniform(4.0, 7.0), rng.uniform(0, 2 * np.pi)
    surge, surge_phase = rng.uniform(0.02, 0.05), rng.uniform(0, 2 * np.pi)
    step_s = 0.01
    times = np.arange(-2, round(config.num_frames / config.frame_rate_hz / step_s) + 3) * step_s
    s = config.speed_m_s * (times + surge * np.sin(2 * np.pi * times / 5 + surge_phase))
    path = plan.centreline.at(s, sway * np.sin(2 * np.pi * times / sway_s + phase))
    velocity = np.gradient(path, axis=0)
    headings = np.unwrap(np.arctan2(velocity[:, 1], velocity[:, 0]))
    at = np.arange(config.num_frames) / config.frame_rate_hz
    poses = np.tile(np.eye(4), (config.num_frames, 1, 1))
    for k in range(3):
        poses[:, k, 3] = np.interp(at, times, path[:, k])
    yaw = np.interp(at, times, headings)
    poses[:, 0, 0] = poses[:, 1, 1] = np.cos(yaw)
    poses[:, 1, 0], poses[:, 0, 1] = np.sin(yaw), -np.sin(yaw)
    return poses


def view_at(config: StreetConfig, world_from_ego: np.ndarray, camera_name: str, shift_m: float = 0.0) -> View:
    """The camera at one time stamp, its centre moved `shift_m` along the ego's own y axis (left)."""
    pose = world_from_ego @ ego_from_camera(camera_name) @ OPENCV2DATASET
    pose[:3, 3] += shift_m * world_from_ego[:3, 1]
    return View(camera_intrinsics(config), pose, config.width, config.height)


def car_pose(plan: StreetPlan, car: CarPlan, time_s: float) -> np.ndarray:
    """world_from_car [4, 4] with the origin on the ground under the car."""
    s = car.s0 + car.speed_m_s * time_s
    yaw = float(plan.centreline.heading(s)) + car.yaw_offset
    return yaw_pose(plan.centreline.at(s, car.lateral_m), yaw)


def lidar_directions(config: StreetConfig) -> np.ndarray:
    """Unit ray directions [beams * columns, 3] in the ego frame; the lower beams lie closer together in height."""
    low, high = np.radians(LIDAR_ELEVATIONS_DEG)
    elevation = np.linspace(low, high, config.lidar_beams)[:, None]
    azimuth = np.linspace(-np.pi, np.pi, config.lidar_columns, endpoint=False)[None]
    x, y = np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth)
    return np.stack([x, y, np.broadcast_to(np.sin(elevation), x.shape)], -1).reshape(-1, 3)
