"""A drive of a few tiny images in DriveStudio's layout, written in milliseconds."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

WORLD_OFFSET_M = np.array([120_000.0, -45_000.0, 30.0])  # far from the origin, like Waymo's worlds


def pose_at(x: float, y: float, z: float, yaw: float = 0.0) -> np.ndarray:
    """Pose [4, 4] at a place, turned by `yaw` radians about z."""
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[:3, 3] = x, y, z
    return pose


def ego_pose(t: int) -> np.ndarray:
    """Ego to data set world: 1 m forward and 0.02 rad to the left per frame, in a world turned by 0.7 rad."""
    return pose_at(*(WORLD_OFFSET_M + t * np.array([np.cos(0.7), np.sin(0.7), 0.0])), 0.7 + 0.02 * t)


def write_tiny_clip(
    root: Path,
    *,
    num_frames: int = 6,
    camera_names: tuple[str, ...] = ("0", "1"),
    width: int = 32,
    height: int = 24,
    optional: bool = True,
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0),
) -> Path:
    """Writes images, poses and calibration; with `optional` also LiDAR, masks and one moving and one parked car."""
    for folder in ("images", "intrinsics", "extrinsics", "ego_pose"):
        (root / folder).mkdir(parents=True)
    for index, name in enumerate(camera_names):
        np.savetxt(root / "extrinsics" / f"{name}.txt", pose_at(1.0, 0.25 - 0.5 * index, 1.5))
        np.savetxt(root / "intrinsics" / f"{name}.txt", [width * 0.8, width * 0.8, width / 2, height / 2, *distortion])
    for t in range(num_frames):
        np.savetxt(root / "ego_pose" / f"{t:03d}.txt", ego_pose(t))
        for index, name in enumerate(camera_names):
            picture = _picture(t, index, width, height)
            Image.fromarray(picture).save(root / "images" / f"{t:03d}_{name}.jpg", quality=95)
    if optional:
        _write_masks(root, num_frames, camera_names, width, height)
        _write_lidar(root, num_frames)
        _write_boxes(root, num_frames)
    return root


def _picture(t: int, camera: int, width: int, height: int) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    wave = 0.5 + 0.5 * np.sin(8 * x + t + 0.3 * camera)
    return (np.stack([x, y, wave], -1) * 255).astype(np.uint8)


def _write_masks(root: Path, num_frames: int, names: tuple[str, ...], width: int, height: int) -> None:
    sky, dynamic, ego = (np.zeros((height, width), np.uint8) for _ in range(3))
    sky[: height // 4] = dynamic[height // 2 :, : width // 4] = ego[-2:] = 255
    for folder in ("sky_masks", "dynamic_masks/all", "ego_masks"):
        (root / folder).mkdir(parents=True)
    for name in names:
        Image.fromarray(ego).save(root / "ego_masks" / f"{name}.png")
        for t in range(num_frames):
            Image.fromarray(sky).save(root / "sky_masks" / f"{t:03d}_{name}.png")
            Image.fromarray(dynamic).save(root / "dynamic_masks" / "all" / f"{t:03d}_{name}.png")


def _write_lidar(root: Path, num_frames: int, num_points: int = 200) -> None:
    (root / "lidar").mkdir()
    for t in range(num_frames):
        rows = np.zeros((num_points, 14), np.float32)
        rows[:, 3:6] = np.random.default_rng(t).uniform([4, -4, 0], [20, 4, 3], (num_points, 3))
        rows.tofile(root / "lidar" / f"{t:03d}.bin")


def _write_boxes(root: Path, num_frames: int) -> None:
    moving, parked = [], []
    for t in range(num_frames):
        moving.append((ego_pose(t) @ pose_at(10, 0, 0.8)).tolist())
        parked.append((ego_pose(0) @ pose_at(6, 3, 0.8)).tolist())
    frames = list(range(num_frames))
    info = {
        str(key): {
            "id": f"car-{key}",
            "class_name": "Vehicle",
            "frame_annotations": {
                "frame_idx": frames,
                "obj_to_world": poses,
                "box_size": [[4.5, 1.9, 1.6]] * num_frames,
            },
        }
        for key, poses in enumerate((moving, parked))
    }
    (root / "instances").mkdir()
    (root / "instances" / "instances_info.json").write_text(json.dumps(info))
    (root / "instances" / "frame_instances.json").write_text(json.dumps({str(t): [0, 1] for t in frames}))
