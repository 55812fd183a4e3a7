"""The reader of the DriveStudio layout: frames, axes, the moved world, optional parts, distortion."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.images import load_dynamic_mask, load_ego_mask, load_image, load_sky_mask
from faithfusion.data.lidar import project_points
from faithfusion.types import DriveClip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DriveClip:
    return read_drive(write_tiny_clip(tmp_path_factory.mktemp("drive") / "tiny"))


def test_frames_are_time_major_and_complete(clip: DriveClip) -> None:
    assert (clip.name, clip.num_frames, clip.camera_names, clip.missing) == ("tiny", 6, ("0", "1"), ())
    assert [(frame.time_index, frame.camera_name) for frame in clip.frames[:3]] == [(0, "0"), (0, "1"), (1, "0")]
    assert clip.frame(4, "1") is clip.frames[9]
    assert (clip.frames[0].camera.width, clip.frames[0].camera.height) == (32, 24)


def test_camera_axes_are_opencv(clip: DriveClip) -> None:
    pose = clip.frame(0, "0").camera.world_from_camera
    right, down, forward, centre = pose[:3].unbind(-1)
    torch.testing.assert_close(right, torch.tensor([0.0, -1.0, 0.0]))
    torch.testing.assert_close(down, torch.tensor([0.0, 0.0, -1.0]))
    torch.testing.assert_close(forward, torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(centre, torch.tensor([1.0, 0.25, 1.5]))


def test_first_frames_and_chosen_cameras_only(clip: DriveClip) -> None:
    short = read_drive(clip.root, camera_names=["1"], num_frames=3)
    assert (short.num_frames, short.camera_names, len(short.frames)) == (3, ("1",), 3)
    assert short.tracks[0].time_indices.tolist() == [0, 1, 2]


def test_pixels_and_masks_are_read_on_demand(clip: DriveClip) -> None:
    frame = clip.frame(2, "0")
    sky, dynamic, ego = load_sky_mask(frame), load_dynamic_mask(frame), load_ego_mask(frame)
    assert load_image(frame).shape == (24, 32, 3)
    assert (sky[:6].all(), sky[6:].any(), dynamic[12:, :8].all()) == (True, False, True)
    assert (int(dynamic.sum()), int(ego.sum())) == (12 * 8, 2 * 32)


def test_absent_optional_parts_are_named_not_fatal(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "bare", optional=False))
    assert clip.missing == ("sky masks", "dynamic masks", "ego masks", "lidar", "boxes")
    assert load_sky_mask(clip.frames[0]) is None
    assert clip.tracks == ()


def test_partly_absent_parts_are_counted(tmp_path: Path) -> None:
    root = write_tiny_clip(tmp_path / "partial")
    (root / "lidar" / "003.bin").unlink()
    clip = read_drive(root)
    assert clip.missing == ("lidar (1 of 6)",)
    assert clip.lidar_paths[3] is None


def test_png_images_and_named_cameras(tmp_path: Path) -> None:
    root = write_tiny_clip(tmp_path / "png", camera_names=("front_left",), optional=False)
    for path in (root / "images").iterdir():
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    assert read_drive(root).frames[1].image_path.name == "001_front_left.png"


def test_the_real_drive_reads_and_its_cameras_agree(shared_data: Path) -> None:
    clip = read_drive(shared_data / "kitti_0001")
    assert (clip.num_frames, clip.camera_names) == (49, ("0", "1"))
    left, right = clip.frame(0, "0").camera, clip.frame(0, "1").camera
    baseline = left.camera_from_world[:3, :3] @ (right.world_from_camera[:3, 3] - left.world_from_camera[:3, 3])
    assert abs(float(baseline[0]) - 0.54) < 0.01
    ahead = clip.world_from_ego[40, :3, 3]  # where the car will be is in view, below the horizon
    uv, depth, inside = project_points(ahead[None] - torch.tensor([0.0, 0.0, 1.7]), left)
    assert bool(inside) and 30 < float(depth) < 60 and float(uv[0, 1]) > float(left.intrinsics[1, 2])
