"""Shifted trajectories follow the ego's own axes and refuse what no data can support."""

from pathlib import Path

import pytest
import torch
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.trajectories import (
    distance_from_path_m,
    distance_to_line_m,
    move_camera,
    shift_camera,
    shifted_cameras,
)
from faithfusion.types import DriveClip
from faithfusion.utils.errors import InputError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DriveClip:
    return read_drive(write_tiny_clip(tmp_path_factory.mktemp("drive") / "tiny", optional=False))


def test_shift_is_to_the_left_of_the_ego_at_each_time(clip: DriveClip) -> None:
    cameras = shifted_cameras(clip, "1", 3.0)
    assert len(cameras) == clip.num_frames
    for t, camera in enumerate(cameras):
        recorded = clip.frame(t, "1").camera
        moved = camera.world_from_camera[:3, 3] - recorded.world_from_camera[:3, 3]
        ego_axes = clip.world_from_ego[t, :3, :3]
        torch.testing.assert_close(ego_axes.T @ moved, torch.tensor([0.0, 3.0, 0.0]), atol=1e-5, rtol=0)
        torch.testing.assert_close(camera.world_from_camera[:3, :3], recorded.world_from_camera[:3, :3])
    world_y_only = cameras[5].world_from_camera - clip.frame(5, "1").camera.world_from_camera
    assert world_y_only[0, 3].abs() > 0.1  # the ego has turned, so its left is not the world's


def test_shift_back_returns_and_leaves_the_original_alone(clip: DriveClip) -> None:
    camera, pose = clip.frame(3, "0").camera, clip.world_from_ego[3]
    before = camera.world_from_camera.clone()
    back = shift_camera(shift_camera(camera, pose, 2.5), pose, -2.5)
    torch.testing.assert_close(back.world_from_camera, before)
    torch.testing.assert_close(camera.world_from_camera, before)


def test_raised_camera_moves_up(clip: DriveClip) -> None:
    camera = clip.frame(0, "0").camera
    raised = move_camera(camera, clip.world_from_ego[0], (0.0, 0.0, 1.2))
    moved = raised.world_from_camera[:3, 3] - camera.world_from_camera[:3, 3]
    torch.testing.assert_close(moved, torch.tensor([0.0, 0.0, 1.2]))


@pytest.mark.parametrize("shift_m", [50.0, -50.0, float("nan"), float("inf")])
def test_unreasonable_shifts_are_refused(clip: DriveClip, shift_m: float) -> None:
    with pytest.raises(InputError, match="shift_m: .* at most 10 m"):
        shifted_cameras(clip, "0", shift_m)


def test_a_wider_limit_can_be_asked_for(clip: DriveClip) -> None:
    assert len(shifted_cameras(clip, "0", 12.0, max_shift_m=15.0)) == clip.num_frames


def test_unknown_camera_is_refused(clip: DriveClip) -> None:
    with pytest.raises(InputError, match="no camera '7'; expected one of 0, 1"):
        shifted_cameras(clip, "7", 1.0)


def test_distance_from_the_path_ignores_progress_along_it(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "drive", num_frames=6, camera_names=("0",), optional=False))
    for shift_m in (0.0, 1.5, -3.0):
        for camera in shifted_cameras(clip, "0", shift_m)[1:-1]:
            assert distance_from_path_m(clip, camera) == pytest.approx(abs(shift_m), abs=0.06)  # the path bends
    ahead = move_camera(clip.frame(5, "0").camera, clip.world_from_ego[5], (2.0, 0.0, 0.0))
    assert distance_from_path_m(clip, ahead) == pytest.approx(2.0, abs=1e-3)


def test_distance_to_a_line_equals_the_nearest_of_many_points_on_it() -> None:
    line = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [2.0, 3.0, 1.0]])
    points = torch.tensor([[1.0, 1.0, 0.0], [-1.0, 0.5, 0.0], [4.0, 4.0, 1.0], [1.5, 0.7, 0.2]])
    dense = torch.cat([a + torch.linspace(0, 1, 4001)[:, None] * (b - a) for a, b in zip(line, line[1:], strict=False)])
    slow = torch.stack([(dense - point).norm(dim=-1).min() for point in points])
    torch.testing.assert_close(distance_to_line_m(points, line), slow, atol=1e-5, rtol=0)
    torch.testing.assert_close(distance_to_line_m(points, line[:1]), points.norm(dim=-1))
