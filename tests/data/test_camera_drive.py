"""A posed series becomes a drive: level world, level shifts, pictures untouched, poses kept."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reference.camera_writers import make_series
from scipy.spatial.transform import Rotation

from faithfusion.data.camera_drive import (
    drive_cameras,
    estimate_up,
    find_images,
    level_world,
    plan_drive,
    write_camera_drive,
)
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.posed_camera import PosedCamera, move_cameras
from faithfusion.data.trajectories import shifted_cameras
from faithfusion.utils.errors import InputError
from faithfusion.utils.similarity import Similarity


def write_images(
    folder: Path, cameras: list[PosedCamera], suffix: str = ".png", size: tuple[int, int] = (64, 48)
) -> None:
    for t, camera in enumerate(cameras):
        path = (folder / camera.name).with_suffix(suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((size[1], size[0], 3), 20 * t, np.uint8)).save(path)


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_drive_reads_back_with_the_poses_of_the_file(tmp_path: Path, scale: float) -> None:
    turn = Similarity(Rotation.random(random_state=5).as_matrix(), np.array([300.0, -20.0, 8.0]))
    cameras = move_cameras(make_series(distortion=(0.1, -0.02, 0.003, -0.004, 0.0)), turn)
    write_images(tmp_path / "in", cameras)
    drive = plan_drive(cameras, scale=scale)
    images = find_images(tmp_path / "in", cameras)
    write_camera_drive(tmp_path / "drive", drive, cameras, images)
    clip = read_drive(tmp_path / "drive")
    assert clip.num_frames == len(cameras) and clip.camera_names == ("0",)
    for frame, camera, source in zip(clip.frames, cameras, images, strict=True):
        expected = drive.drive_from_file.move_pose(camera.world_from_camera)
        np.testing.assert_allclose(frame.camera.world_from_camera.numpy(), expected, atol=1e-5)
        assert frame.image_path.read_bytes() == source.read_bytes()
    stored = np.loadtxt(tmp_path / "drive" / "intrinsics" / "0.txt")
    np.testing.assert_allclose(stored, cameras[0].pinhole)
    np.testing.assert_allclose(np.loadtxt(tmp_path / "drive" / "ego_pose" / "000.txt"), np.eye(4), atol=1e-12)
    back = drive_cameras(clip, "0")
    np.testing.assert_allclose(back[3].world_from_camera, clip.frames[3].camera.world_from_camera, atol=0)


def test_world_is_level_and_shifts_stay_level(tmp_path: Path) -> None:
    """The camera looks 10 degrees down, along the series' own +z with y down; its shift to the left must not."""
    cameras = make_series()
    drive = plan_drive(cameras, up=(0.0, -2.0, 0.0))
    forward = drive.drive_from_file.rotation @ cameras[0].world_from_camera[:3, 2]
    np.testing.assert_allclose(forward, [np.cos(np.radians(10)), 0.0, -np.sin(np.radians(10))], atol=1e-12)
    np.testing.assert_allclose(drive.drive_from_file.rotation @ [0.0, -1.0, 0.0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(drive.world_from_ego[:, :3, 2], [[0, 0, 1]] * len(cameras), atol=1e-12)
    write_images(tmp_path / "in", cameras)
    write_camera_drive(tmp_path / "drive", drive, cameras, find_images(tmp_path / "in", cameras))
    clip = read_drive(tmp_path / "drive")
    for frame, moved in zip(clip.frames, shifted_cameras(clip, "0", 2.0), strict=True):
        offset = (moved.world_from_camera - frame.camera.world_from_camera)[:3, 3].numpy()
        right = frame.camera.world_from_camera[:3, 0].numpy()
        np.testing.assert_allclose(offset, -2.0 * right, atol=1e-5)
    # the bend of the series is to its right, about the down axis
    assert clip.world_from_ego[-1, 1, 3] < -0.5 and clip.world_from_ego[-1, 0, 3] > 5.0


def angle_deg(one: np.ndarray, two: tuple[float, ...]) -> float:
    return float(np.degrees(np.arccos(np.clip(one @ np.array(two), -1.0, 1.0))))


def test_up_does_not_tilt_with_cameras_that_look_down() -> None:
    """All of the series looks 10 degrees down; a bend, a straight line and a single place."""
    bend = make_series(40)
    assert angle_deg(estimate_up(bend), (0.0, -1.0, 0.0)) < 1e-6
    straight = []
    for t in range(10):
        pose = bend[0].world_from_camera.copy()
        pose[:3, 3] += [0.0, 0.0, 0.5 * t]
        straight.append(dataclasses.replace(bend[0], world_from_camera=pose))
    assert angle_deg(estimate_up(straight), (0.0, -1.0, 0.0)) < 1e-6
    assert angle_deg(estimate_up(bend[:1]), (0.0, -1.0, 0.0)) == pytest.approx(10.0)
    turned = Similarity(Rotation.random(random_state=2).as_matrix(), np.array([5.0, 6.0, 7.0]))
    expected = turned.rotation @ [0.0, -1.0, 0.0]
    assert angle_deg(estimate_up(move_cameras(bend, turned)), tuple(expected)) < 1e-6


def test_up_must_be_agreed_on_or_given() -> None:
    cameras = make_series()
    rolled = [
        dataclasses.replace(camera, world_from_camera=camera.world_from_camera @ roll)
        for camera, roll in zip(cameras, [np.diag([1.0, 1, 1, 1]), np.diag([-1.0, -1, 1, 1])] * 6, strict=True)
    ]
    with pytest.raises(InputError, match="--up X Y Z"):
        plan_drive(rolled)
    assert plan_drive(rolled, up=(0, -1, 0)).world_from_ego.shape == (12, 4, 4)
    with pytest.raises(InputError, match="not all 0"):
        plan_drive(cameras, up=(0, 0, 0))
    with pytest.raises(InputError, match="positive number of metres"):
        plan_drive(cameras, scale=-1.0)


def test_a_camera_that_looks_straight_down_has_its_upper_edge_ahead() -> None:
    pose = np.eye(4)  # OpenCV camera in a world with z down: looks along z
    down = [PosedCamera("a", 8, 8, (8.0, 8, 4, 4, 0, 0, 0, 0, 0), pose)]
    drive = plan_drive(down, up=(0, 0, -1))
    np.testing.assert_allclose(drive.drive_from_file.rotation @ [0, -1, 0], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(drive.drive_from_file.rotation @ [0, 0, -1], [0, 0, 1], atol=1e-12)


def test_world_without_cameras() -> None:
    np.testing.assert_array_equal(level_world(None, 2.0).rotation, np.eye(3))
    move = level_world((0, -3, 0), 2.0)
    np.testing.assert_allclose(move.rotation @ [0, -1, 0], [0, 0, 1], atol=1e-12)
    assert move.scale == 2.0


def test_images_of_another_size_scale_the_intrinsics(tmp_path: Path) -> None:
    cameras = make_series(4)
    write_images(tmp_path / "half", cameras, size=(32, 24))
    write_camera_drive(tmp_path / "drive", plan_drive(cameras), cameras, find_images(tmp_path / "half", cameras))
    np.testing.assert_allclose(np.loadtxt(tmp_path / "drive" / "intrinsics" / "0.txt")[:4], [25, 24, 16.5, 11.5])


def test_images_are_found_by_the_end_of_their_path(tmp_path: Path) -> None:
    cameras = make_series(3)
    write_images(tmp_path / "in", cameras, suffix=".jpg")
    for name in ("front/img_1.png", "img_1", "./images/front/img_1.JPG", "front/img_1.jpg"):
        camera = dataclasses.replace(cameras[1], name=name)
        folder = tmp_path / "in" / ("front" if "/" not in name else "")
        assert find_images(folder, [camera]) == [tmp_path / "in" / "front" / "img_1.jpg"]
    with pytest.raises(InputError, match="no image for camera 'img_7'"):
        find_images(tmp_path / "in", [dataclasses.replace(cameras[1], name="img_7")])
    with pytest.raises(InputError, match="no such folder"):
        find_images(tmp_path / "none", cameras)


def test_what_is_no_drive_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    cameras = make_series(4)
    write_images(tmp_path / "in", cameras)
    images, drive = find_images(tmp_path / "in", cameras), plan_drive(cameras)
    zoomed = [
        cameras[0],
        *(dataclasses.replace(c, pinhole=(99.0, *c.pinhole[1:]), name="side/" + c.name) for c in cameras[1:]),
    ]
    with pytest.raises(InputError, match="--match"):
        write_camera_drive(tmp_path / "drive", drive, zoomed, images)
    write_images(tmp_path / "square", cameras, size=(48, 48))
    with pytest.raises(InputError, match="the shape of its camera, 64x48"):
        write_camera_drive(tmp_path / "drive", drive, cameras, find_images(tmp_path / "square", cameras))
    images[2].write_bytes(images[2].read_bytes()[:-20])
    with pytest.raises(InputError, match="cut off"):
        write_camera_drive(tmp_path / "drive", drive, cameras, images)
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="exists"):
        write_camera_drive(tmp_path / "mine", drive, cameras, images)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "mine", "square"]
