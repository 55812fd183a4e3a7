"""What the writer writes, `read_drive` reads back: poses, calibration, boxes, points and pixels."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import ego_pose, pose_at

from faithfusion.data.calibration_text import read_intrinsics
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.drive_writer import BoxTrack, RigCamera, Scan, make_folders, write_frame, write_rig, write_tracks
from faithfusion.data.images import load_image
from faithfusion.data.layouts import OPENCV2DATASET
from faithfusion.data.lidar import load_points_world
from faithfusion.types import DriveClip
from faithfusion.utils.errors import InputError

NUM_FRAMES, WIDTH, HEIGHT = 3, 32, 24
PINHOLE = (25.5, 25.25, 16.0, 11.5, 0.0, 0.0, 0.0, 0.0, 0.0)
BENT = (25.5, 25.25, 16.0, 11.5, -0.2, 0.03, 0.001, -0.002, 0.004)


CAMERAS = (RigCamera("0", PINHOLE, pose_at(1.5, 0.2, 1.6, 0.01)), RigCamera("1", BENT, pose_at(1.2, 0.5, 1.6, 0.8)))
TRACK = BoxTrack(
    track_id="a-b-c",
    class_name="Vehicle",
    frames=(0, 2),
    world_from_box=np.stack([ego_pose(0) @ pose_at(8, 0, 0.8), ego_pose(2) @ pose_at(9, 1, 0.8, 0.3)]),
    size_m=np.array([[4.5, 1.9, 1.5], [4.5, 1.9, 1.5]]),
)


def _picture(t: int) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0, 255, WIDTH), np.linspace(0, 255, HEIGHT))
    return np.stack([x, y, np.full_like(x, 40 * t)], -1).astype(np.uint8)


def _encoded(t: int, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(_picture(t)).save(buffer, format=kind)
    return buffer.getvalue()


def _scan(t: int) -> Scan:
    random = np.random.default_rng(t)
    points = random.uniform([3, -4, 0], [30, 4, 3], (50, 3)).astype(np.float32)
    labels = {"elongation": random.random(50), "laser_id": random.integers(0, 5, 50), "ground_label": points[:, 2] < 1}
    return Scan(np.full((50, 3), 1.25), points, random.random(50), **labels)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DriveClip:
    root = tmp_path_factory.mktemp("drive") / "written"
    make_folders(root)
    write_rig(root, CAMERAS)
    for t in range(NUM_FRAMES):
        write_frame(root, t, ego_pose(t), {"0": _encoded(t, "PNG"), "1": _picture(t)}, _scan(t) if t != 1 else None)
    write_tracks(root, [TRACK], NUM_FRAMES)
    return read_drive(root)


def test_poses_come_back(clip: DriveClip) -> None:
    for t in range(NUM_FRAMES):
        clip_from_ego = np.linalg.inv(ego_pose(0)) @ ego_pose(t)
        np.testing.assert_allclose(clip.world_from_ego[t], clip_from_ego, atol=1e-5)
        for camera in CAMERAS:
            expected = clip_from_ego @ camera.ego_from_camera @ OPENCV2DATASET
            np.testing.assert_allclose(clip.frame(t, camera.name).camera.world_from_camera, expected, atol=1e-5)


def test_calibration_comes_back(clip: DriveClip) -> None:
    for camera in CAMERAS:
        matrix, distortion = read_intrinsics(clip.root / "intrinsics" / f"{camera.name}.txt")
        assert (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2], *distortion) == camera.pinhole


def test_boxes_come_back(clip: DriveClip) -> None:
    (track,) = clip.tracks
    assert (track.class_name, track.time_indices.tolist(), track.is_moving) == ("Vehicle", [0, 2], True)
    expected = np.linalg.inv(ego_pose(0)) @ TRACK.world_from_box
    np.testing.assert_allclose(track.world_from_box, expected, atol=1e-5)
    torch.testing.assert_close(track.size_m, torch.tensor([4.5, 1.9, 1.5]))
    info = json.loads((clip.root / "instances" / "instances_info.json").read_text())
    assert info["0"]["id"] == "a-b-c"
    assert json.loads((clip.root / "instances" / "frame_instances.json").read_text()) == {"0": [0], "1": [], "2": [0]}


def test_points_and_their_columns_come_back(clip: DriveClip) -> None:
    world_from_ego = clip.world_from_ego[2]
    expected = torch.from_numpy(_scan(2).points) @ world_from_ego[:3, :3].T + world_from_ego[:3, 3]
    torch.testing.assert_close(load_points_world(clip, 2), expected, atol=1e-5, rtol=0)
    rows, scan = np.fromfile(clip.root / "lidar" / "002.bin", "<f4").reshape(-1, 14), _scan(2)
    columns = np.stack([scan.ground_label, scan.intensity, scan.elongation, scan.laser_id], -1)
    np.testing.assert_array_equal(rows[:, 10:], columns.astype(np.float32))
    assert (rows[:, :3] == 1.25).all()
    assert clip.missing == ("sky masks", "dynamic masks", "ego masks", "lidar (1 of 3)")


def test_pixels_come_back_and_encoded_bytes_untouched(clip: DriveClip) -> None:
    assert clip.frame(1, "0").image_path.read_bytes() == _encoded(1, "PNG")
    np.testing.assert_array_equal(load_image(clip.frame(1, "0")) * 255.0, _picture(1).astype(np.float32))
    with Image.open(clip.frame(1, "1").image_path) as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image).astype(int) - _picture(1)).max() <= 8


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_suffix_follows_the_bytes(tmp_path: Path, kind: str) -> None:
    make_folders(tmp_path)
    write_frame(tmp_path, 0, np.eye(4), {"0": _encoded(0, kind)})
    path = tmp_path / "images" / f"000_0.{'jpg' if kind == 'JPEG' else 'png'}"
    assert path.read_bytes() == _encoded(0, kind)


def test_the_pose_of_an_image_comes_back(tmp_path: Path) -> None:
    make_folders(tmp_path)
    write_rig(tmp_path, CAMERAS)
    moment = ego_pose(0) @ pose_at(0.4, 0.0, 0.0)
    write_frame(tmp_path, 0, ego_pose(0), {"0": _picture(0), "1": _picture(0)}, image_poses={"1": moment})
    clip = read_drive(tmp_path)
    for camera, ego in zip(CAMERAS, (ego_pose(0), moment), strict=True):
        expected = np.linalg.inv(ego_pose(0)) @ ego @ camera.ego_from_camera @ OPENCV2DATASET
        np.testing.assert_allclose(clip.frame(0, camera.name).camera.world_from_camera, expected, atol=1e-5)
    assert clip.num_frames == 1


BAD_TRACKS = {
    "frame beyond the clip": ({"frames": (0, 3)}, "ascending numbers from 0 to 2"),
    "frames not ascending": ({"frames": (2, 2)}, "ascending"),
    "no frame": ({"frames": ()}, "ascending"),
    "too few poses": ({"world_from_box": TRACK.world_from_box[:1]}, "one per frame"),
    "flat box": ({"size_m": np.array([[4.5, 0.0, 1.5], [4.5, 1.9, 1.5]])}, "without size"),
    "not rigid": ({"world_from_box": 2 * TRACK.world_from_box}, "not rigid"),
}


@pytest.mark.parametrize("case", BAD_TRACKS)
def test_bad_tracks_are_refused(tmp_path: Path, case: str) -> None:
    change, message = BAD_TRACKS[case]
    make_folders(tmp_path)
    with pytest.raises(InputError, match=message):
        write_tracks(tmp_path, [dataclasses.replace(TRACK, **change)], NUM_FRAMES)
    assert not any((tmp_path / "instances").iterdir())


def test_bad_images_poses_and_calibration_are_refused(tmp_path: Path) -> None:
    make_folders(tmp_path)
    with pytest.raises(InputError, match="a JPEG or a PNG"):
        write_frame(tmp_path, 0, np.eye(4), {"0": b"GIF89a"})
    with pytest.raises(InputError, match="uint8"):
        write_frame(tmp_path, 0, np.eye(4), {"0": np.zeros((4, 4, 3))})
    with pytest.raises(InputError, match="ego pose 000: not rigid"):
        write_frame(tmp_path, 0, np.diag([2.0, 1, 1, 1]), {})
    with pytest.raises(InputError, match="k1 k2 p1 p2 k3"):
        write_rig(tmp_path, [RigCamera("0", PINHOLE[:4], np.eye(4))])
