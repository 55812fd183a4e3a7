"""LiDAR: scans to world points, projection against a loop, nearest point wins."""

from pathlib import Path

import numpy as np
import torch
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.lidar import lidar_depth, load_points_world, project_points
from faithfusion.types import Camera


def _camera(width: int = 20, height: int = 10) -> Camera:
    intrinsics = torch.tensor([[10.0, 0.0, 10.0], [0.0, 10.0, 5.0], [0.0, 0.0, 1.0]])
    turn = torch.tensor([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    pose = torch.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, torch.tensor([1.0, -2.0, 0.5])
    return Camera(intrinsics, pose, width, height)


def _slow_depth(points: np.ndarray, camera: Camera) -> np.ndarray:
    image = np.zeros((camera.height, camera.width))
    pose, matrix = camera.world_from_camera.double().numpy(), camera.intrinsics.double().numpy()
    for point in points:
        x, y, z = pose[:3, :3].T @ (point - pose[:3, 3])
        if z <= 0.05:
            continue
        column, row = (
            int(np.floor(matrix[0, 0] * x / z + matrix[0, 2])),
            int(np.floor(matrix[1, 1] * y / z + matrix[1, 2])),
        )
        free = 0 <= column < camera.width and 0 <= row < camera.height
        if free and (image[row, column] == 0 or z < image[row, column]):
            image[row, column] = z
    return image


def test_depth_image_equals_a_loop_over_points() -> None:
    points = torch.from_numpy(np.random.default_rng(3).normal(0, 6, (3000, 3))).float()
    depth = lidar_depth(points, _camera())
    expected = _slow_depth(points.double().numpy(), _camera())
    np.testing.assert_allclose(depth.numpy(), expected, atol=1e-4)
    assert 0 < (expected > 0).sum() < expected.size


def test_points_behind_or_beside_the_image_are_outside() -> None:
    camera = Camera(torch.tensor([[10.0, 0.0, 10.0], [0.0, 10.0, 5.0], [0.0, 0.0, 1.0]]), torch.eye(4), 20, 10)
    points = torch.tensor([[0.0, 0.0, 2.0], [0.0, 0.0, -2.0], [3.0, 0.0, 2.0]])
    uv, depth, inside = project_points(points, camera)
    assert inside.tolist() == [True, False, False]
    assert (uv[0].tolist(), depth.tolist()) == ([10.0, 5.0], [2.0, -2.0, 2.0])
    assert lidar_depth(points[1:], camera).abs().sum() == 0


def test_scan_points_come_in_the_world_without_lost_beams(tmp_path: Path) -> None:
    root = write_tiny_clip(tmp_path / "tiny")
    rows = np.fromfile(root / "lidar" / "002.bin", np.float32).reshape(-1, 14)
    rows[7, 4] = np.nan
    rows.tofile(root / "lidar" / "002.bin")
    (root / "lidar" / "003.bin").unlink()
    clip = read_drive(root)
    points = load_points_world(clip, 2)
    expected = clip.world_from_ego[2].numpy() @ np.append(rows[0, 3:6], 1.0)
    assert points.shape == (199, 3)
    np.testing.assert_allclose(points[0].numpy(), expected[:3], atol=1e-5)
    assert load_points_world(clip, 3).shape == (0, 3)
