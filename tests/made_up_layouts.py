"""One drive, written as each of DriveStudio's six preprocessings would, by code that shares nothing with the reader.

The truth is in a world turned by 0.7 rad and far from the origin; the vehicle's axes are x forward, y left, z up.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tiny_clip import ego_pose, pose_at

NUM_FRAMES, NUM_POINTS = 5, 35
LIDAR_AT = np.array([0.9, 0.0, 1.8])
BOX_SIZE = np.array([4.6, 1.9, 1.5])
FORWARD_FROM_OPENCV = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # vehicle axes of a camera that looks ahead
VEHICLE_FROM_RIGHT_FORWARD_UP = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])


@dataclass(frozen=True)
class Facts:
    """What the preprocessing of one data set does."""

    num_cameras: int
    sizes: tuple[tuple[int, int], ...]  # a twentieth of the recorded ones, about
    columns: int


FACTS = {
    "waymo": Facts(5, ((96, 64),) * 3 + ((96, 44),) * 2, 14),
    "nuscenes": Facts(6, ((80, 45),) * 6, 4),
    "kitti": Facts(2, ((124, 37),) * 2, 4),
    "argoverse": Facts(7, ((77, 102),) + ((102, 77),) * 6, 4),
    "pandaset": Facts(6, ((96, 54),) * 6, 5),
    "nuplan": Facts(8, ((96, 54),) * 8, 6),
}


def rigid(rotation: np.ndarray, centre: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, centre
    return pose


def turn(yaw: float) -> np.ndarray:
    return pose_at(0.0, 0.0, 0.0, yaw)[:3, :3]


def vehicle_from_camera(camera: int) -> np.ndarray:
    """OpenCV camera axes; camera 0 looks ahead, the others to the sides and back."""
    yaw = [0.0, 0.9, -0.9, 1.6, -1.6, 2.6, -2.6, 3.1][camera]
    return rigid(turn(yaw) @ FORWARD_FROM_OPENCV, np.array([1.5, 0.3 * camera, 1.6]))


def points_vehicle(t: int) -> np.ndarray:
    return np.random.default_rng(t).uniform([3, -6, 0], [30, 6, 4], (NUM_POINTS + t, 3))


def world_from_box(t: int) -> np.ndarray:
    """Drives ahead of the vehicle, turned by 0.3 rad to its left."""
    return ego_pose(t) @ rigid(turn(0.3), np.array([12.0, 2.0, 0.8]))


def write_as(name: str, root: Path, *, optional: bool = True, num_cameras: int | None = None) -> Path:
    """The drive as `name`'s preprocessing leaves it."""
    facts = FACTS[name]
    cameras = range(facts.num_cameras if num_cameras is None else num_cameras)
    folders = ["images", "intrinsics", "extrinsics"] + (["ego_pose"] if name != "nuscenes" else [])
    for folder in folders + (["lidar", "instances"] if optional else []):
        (root / folder).mkdir(parents=True)
    for camera in cameras:
        width, height = facts.sizes[camera]
        bend = [-0.1, 0.01, 0.001, -0.001, 0.0] if name in ("waymo", "nuplan") else [0.0] * 5
        np.savetxt(root / f"intrinsics/{camera}.txt", [width, width, width / 2, height / 2, *bend])
        for t in range(NUM_FRAMES):
            Image.new("RGB", (width, height), (40 * t, 90, 20 * camera)).save(root / f"images/{t:03d}_{camera}.jpg")
    _write_poses(name, root, cameras)
    if optional:
        _write_scans(name, root)
        _write_boxes(name, root)
    return root


def world_from_stored_ego(name: str, t: int) -> np.ndarray:
    """What the data set calls ego: the vehicle, or its LiDAR."""
    if name == "kitti":
        return ego_pose(t) @ rigid(np.eye(3), LIDAR_AT)
    if name == "pandaset":
        return ego_pose(t) @ rigid(VEHICLE_FROM_RIGHT_FORWARD_UP, LIDAR_AT)
    return ego_pose(t)


def _write_poses(name: str, root: Path, cameras: range) -> None:
    for t in range(NUM_FRAMES):
        if name != "nuscenes":
            np.savetxt(root / f"ego_pose/{t:03d}.txt", world_from_stored_ego(name, t))
        for camera in cameras:
            world_from_camera = ego_pose(t) @ vehicle_from_camera(camera)
            if name in ("nuscenes", "pandaset"):
                np.savetxt(root / f"extrinsics/{t:03d}_{camera}.txt", world_from_camera)
                continue
            ego_from_camera = np.linalg.inv(world_from_stored_ego(name, t)) @ world_from_camera
            if name == "waymo":
                ego_from_camera[:3, :3] = ego_from_camera[:3, :3] @ FORWARD_FROM_OPENCV.T
            np.savetxt(root / f"extrinsics/{camera}.txt", ego_from_camera)


def _write_scans(name: str, root: Path) -> None:
    if name == "nuscenes":
        (root / "lidar_pose").mkdir()
    for t in range(NUM_FRAMES):
        world_from_scan = world_from_stored_ego(name, t)
        if name == "nuscenes":
            world_from_scan = ego_pose(t) @ rigid(VEHICLE_FROM_RIGHT_FORWARD_UP @ turn(0.02), LIDAR_AT)
            np.savetxt(root / f"lidar_pose/{t:03d}.txt", world_from_scan)
        world = points_vehicle(t) @ ego_pose(t)[:3, :3].T + ego_pose(t)[:3, 3]
        points = (world - world_from_scan[:3, 3]) @ world_from_scan[:3, :3]
        rows = np.random.default_rng(0).uniform(0, 50, (len(points), FACTS[name].columns)).astype(np.float32)
        first = 3 if name == "waymo" else 0
        rows[:, first : first + 3] = points
        rows.tofile(root / f"lidar/{t:03d}.bin")


def _write_boxes(name: str, root: Path) -> None:
    poses, size = [world_from_box(t) for t in range(NUM_FRAMES)], BOX_SIZE
    if name == "pandaset":  # its boxes are x right, y forward: width first
        poses = [pose @ rigid(VEHICLE_FROM_RIGHT_FORWARD_UP, np.zeros(3)) for pose in poses]
        size = BOX_SIZE[[1, 0, 2]]
    notes = {
        "frame_idx": list(range(NUM_FRAMES)),
        "obj_to_world": [pose.tolist() for pose in poses],
        "box_size": [size.tolist()] * NUM_FRAMES,
    }
    info = {"0": {"id": "a", "class_name": "Car", "frame_annotations": notes}}
    (root / "instances/instances_info.json").write_text(json.dumps(info))
    (root / "instances/frame_instances.json").write_text(json.dumps({str(t): [0] for t in range(NUM_FRAMES)}))
