"""Lines in the scene: boxes where the objects are, frusta through the corners of the images."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_clip import ego_pose, write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.types import DriveClip, RigidNode
from faithfusion.viewer.overlay import box_lines, drive_lines, frame_lines, frustum_lines, path_lines, scene_lines
from faithfusion.viewer.state import FreeView, ViewState
from faithfusion.viewer.view_cameras import view_camera

STATE = ViewState("scene", "colour", 1, "0", 0.0, (64, 48))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DriveClip:
    return read_drive(write_tiny_clip(tmp_path_factory.mktemp("drive") / "clip", num_frames=5))


def test_a_box_has_twelve_edges_of_its_size_around_its_centre() -> None:
    poses = torch.eye(4).repeat(2, 1, 1)
    poses[1, :3, :3] = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    poses[1, :3, 3] = torch.tensor([10.0, 5.0, 1.0])
    node = RigidNode("car", torch.tensor([4.0, 2.0, 1.5]), torch.tensor([3, 6]), poses)
    lines = box_lines((node,), 6)
    lengths = np.linalg.norm(lines[:, 1] - lines[:, 0], axis=-1)
    assert sorted(lengths.round(5)) == [1.5] * 4 + [2.0] * 4 + [4.0] * 4
    np.testing.assert_allclose(lines.reshape(-1, 3).mean(0), [10, 5, 1], atol=1e-6)
    along = lines[np.isclose(lengths, 4.0)]  # the length lies along the turned x axis, the world's y
    np.testing.assert_allclose(np.abs(along[:, 1] - along[:, 0]), [[0, 4, 0]] * 4, atol=1e-6)
    assert len(box_lines((node,), 4)) == 0 and len(box_lines((), 0)) == 0


def test_a_frustum_goes_through_the_corners_of_the_image(clip: DriveClip) -> None:
    camera = clip.frame(3, "1").camera
    lines = frustum_lines(camera, 2.0)
    np.testing.assert_allclose(lines[:4, 0], np.tile(camera.world_from_camera[:3, 3], (4, 1)), atol=1e-6)
    ends = torch.from_numpy(lines[:4, 1]) @ camera.camera_from_world[:3, :3].T + camera.camera_from_world[:3, 3]
    np.testing.assert_allclose(ends[:, 2], 2.0, atol=1e-5)
    pixels = (ends @ camera.intrinsics.T)[:, :2] / ends[:, 2:]
    corners = [[0, 0], [camera.width, 0], [camera.width, camera.height], [0, camera.height]]
    np.testing.assert_allclose(pixels, corners, atol=1e-3)
    np.testing.assert_allclose(lines[4:, 0], lines[:4, 1], atol=1e-6)
    np.testing.assert_allclose(lines[4:, 1], np.roll(lines[:4, 1], -1, axis=0), atol=1e-6)
    assert frame_lines(camera).shape == (4, 2, 3)


def test_the_path_is_the_egos(clip: DriveClip) -> None:
    lines = path_lines(clip)
    moved = np.linalg.inv(ego_pose(0)) @ ego_pose(2)
    np.testing.assert_allclose(lines[1, 1, :2], moved[:2, 3], atol=1e-3)
    np.testing.assert_allclose(lines[1:, 0], lines[:-1, 1], atol=1e-6)
    assert drive_lines(clip).shape == (5 * 2 * 8, 2, 3)


def test_what_is_drawn_does_not_stand_in_the_way(clip: DriveClip) -> None:
    def names(**changes: object) -> set[str]:
        state = dataclasses.replace(STATE, **changes)
        return set(scene_lines(clip, (), state, view_camera(clip, state, 64)))

    assert names() == {"path", "boxes", "rig", "frame"}
    assert names(shift_m=3.0) == names() | {"drive"}
    raised = clip.world_from_ego.clone()
    raised[:, 2, 3] += 1.5
    high = dataclasses.replace(clip, world_from_ego=raised)  # an ego as high as its camera
    assert "path" not in scene_lines(high, (), STATE, view_camera(clip, STATE, 64))
    above = torch.eye(4)
    above[2, 3] = 5.0
    pose = tuple(above.flatten().tolist())
    assert names(free=FreeView(pose, 1.0)) == {"path", "boxes", "rig", "drive"}
    assert names(lines=False) == set()
    riding = scene_lines(clip, (), STATE, view_camera(clip, STATE, 64))
    assert riding["rig"].key == (1,)  # both cameras are within half a metre of the eye
    assert len(riding["rig"].make()) == 0


def test_lines_are_made_again_when_time_goes_on(clip: DriveClip, tmp_path: Path) -> None:
    def keys(**changes: object) -> dict[str, object]:
        state = dataclasses.replace(STATE, **changes)
        return {name: lines.key for name, lines in scene_lines(clip, (), state, clip.frames[0].camera).items()}

    before, after = keys(), keys(time_index=2)
    assert {name for name in before if before[name] != after[name]} == {"boxes", "rig", "frame"}
