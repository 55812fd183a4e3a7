"""Camera files and pictures as people have them: every picture with its own camera, wide lenses, pictures that were
sorted out, names of Windows, pictures held on their side, marks in front of text."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from reference.camera_writers import make_series, write_colmap, write_transforms

from faithfusion.data.calibration_text import read_pose
from faithfusion.data.camera_drive import cameras_with_pictures, find_images, plan_drive, write_camera_drive
from faithfusion.data.camera_files import read_cameras
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.image_files import exif_orientation
from faithfusion.data.images import load_blind_mask, load_image
from faithfusion.data.pose_files import read_ego_poses
from faithfusion.data.posed_camera import PosedCamera
from faithfusion.data.series_pictures import plan_series
from faithfusion.data.wide_lens import WideLens, reach
from faithfusion.types import DriveClip
from faithfusion.utils.errors import InputError

PINHOLE = (50.0, 48.0, 33.0, 23.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def pattern(rays: np.ndarray) -> np.ndarray:
    """What is seen along rays [..., 2] on the plane z = 1, uint8 [..., 3]: smooth, and different everywhere."""
    x, y = np.moveaxis(rays, -1, 0)
    waves = [np.sin(7.0 * x + 1.0), np.sin(6.0 * y - 0.5), np.sin(4.0 * x + 5.0 * y)]
    return np.round(127.5 + 120.0 * np.stack(waves, -1)).astype(np.uint8)


def rays_of(pinhole: tuple[float, ...], size: tuple[int, int]) -> np.ndarray:
    u, v = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    return np.stack([(u - pinhole[2]) / pinhole[0], (v - pinhole[3]) / pinhole[1]], -1)


def invert_lens(lens: WideLens, bent: np.ndarray) -> np.ndarray:
    """The rays that a lens puts at the places `bent`, by Newton's steps along the radius."""
    rays = bent.copy()
    for _ in range(100):
        rays = rays + (bent - lens.distort(rays))
    assert np.abs(lens.distort(rays) - bent).max() < 1e-9
    return rays


def take_pictures(folder: Path, cameras: list[PosedCamera], suffix: str = ".png", **save: object) -> list[Path]:
    """The pictures of `pattern` through each camera's own lens."""
    paths = []
    for camera in cameras:
        bent = rays_of(camera.pinhole, (camera.width, camera.height))
        rays = bent if camera.lens is None else invert_lens(camera.lens, bent)
        paths.append((folder / camera.name).with_suffix(suffix))
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pattern(rays)).save(paths[-1], **save)
    return paths


def drive_of(folder: Path, cameras: list[PosedCamera], paths: list[Path], **how: bool) -> DriveClip:
    write_camera_drive(folder, plan_drive(cameras), cameras, paths, **how)
    return read_drive(folder)


def assert_shows_pattern(clip: DriveClip, tolerance: float) -> None:
    """Every picture of the drive is the pattern through the drive's pinhole, where it is not blind."""
    for frame in clip.frames:
        matrix = frame.camera.intrinsics.double().numpy()
        pinhole = (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
        expected = pattern(rays_of(pinhole, (frame.camera.width, frame.camera.height))) / 255.0
        error = np.abs(load_image(frame).numpy() - expected).max(-1)
        blind = load_blind_mask(frame)
        assert error[slice(None) if blind is None else ~blind.numpy()].max() < tolerance


def test_every_picture_may_have_its_own_intrinsics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """COLMAP's default. The common camera is the median one; what a longer lens does not show is blind."""
    cameras = [
        dataclasses.replace(camera, pinhole=(50.0 + t, 48.0 + t, 33.0, 23.0, *PINHOLE[4:]))
        for t, camera in enumerate(make_series(5))
    ]
    clip = drive_of(tmp_path / "drive", cameras, take_pictures(tmp_path / "in", cameras))
    assert "5 pictures are resampled" in capsys.readouterr().err
    assert float(clip.frames[0].camera.intrinsics[0, 0]) == 52.0
    assert_shows_pattern(clip, 0.04)
    blind = [load_blind_mask(frame) for frame in clip.frames]
    assert blind[:3] == [None, None, None]
    assert 0.02 < float(blind[4].float().mean()) < 0.15


def test_pictures_of_different_sizes_become_one_size(tmp_path: Path) -> None:
    cameras = make_series(5)
    wide = (100.0, 100.0, 80.0, 50.0, *PINHOLE[4:])
    cameras[1] = dataclasses.replace(cameras[1], width=160, height=100, pinhole=wide)
    cameras[4] = dataclasses.replace(cameras[4], width=48, height=64, pinhole=(52.0, 52.0, 24.0, 32.0, *PINHOLE[4:]))
    clip = drive_of(tmp_path / "drive", cameras, take_pictures(tmp_path / "in", cameras))
    assert {(frame.camera.width, frame.camera.height) for frame in clip.frames} == {(64, 48)}
    assert_shows_pattern(clip, 0.08)
    assert float(load_blind_mask(clip.frames[4]).float().mean()) > 0.2  # the upright picture is narrower


FISHEYE = WideLens("fisheye", (0.05, -0.01, 0.002, 0.0))
RATIONAL = WideLens("rational", (0.2, 0.02, 0.001, -0.002, 0.0, 0.3, 0.05, 0.01))


@pytest.mark.parametrize("lens", [FISHEYE, RATIONAL])
def test_wide_lenses_are_undistorted(tmp_path: Path, lens: WideLens) -> None:
    cameras = [dataclasses.replace(camera, lens=lens) for camera in make_series(3)]
    clip = drive_of(tmp_path / "drive", cameras, take_pictures(tmp_path / "in", cameras))
    assert_shows_pattern(clip, 0.04)
    np.testing.assert_allclose(np.loadtxt(tmp_path / "drive" / "intrinsics" / "0.txt"), PINHOLE)


def test_known_values_of_the_lenses() -> None:
    ray = np.array([0.75, 1.0])  # 1.25 off the axis
    angle = np.arctan(1.25)
    bent = angle * (1.0 + 0.05 * angle**2 - 0.01 * angle**4 + 0.002 * angle**6)
    np.testing.assert_allclose(FISHEYE.distort(ray), ray / 1.25 * bent)
    np.testing.assert_array_equal(FISHEYE.distort(np.zeros(2)), np.zeros(2))
    flat = WideLens("rational", (0.2, 0.0, 0.0, 0.0, 0.0, 0.3, 0.0, 0.0))
    np.testing.assert_allclose(flat.distort(ray), ray * (1.0 + 0.2 * 1.5625) / (1.0 + 0.3 * 1.5625))
    assert reach(FISHEYE) == float("inf")
    assert reach(WideLens("rational", (-1 / 3, 0, 0, 0, 0, 0, 0, 0))) == pytest.approx(1.0, abs=0.01)


COLMAP_MODELS = {
    "FULL_OPENCV": ("50 48 33 23 .2 .02 .001 -.002 0 .3 .05 .01", None, RATIONAL),
    "FULL_OPENCV of 5": ("50 48 33 23 .1 -.02 .003 -.004 .005 0 0 0", (0.1, -0.02, 0.003, -0.004, 0.005), None),
    "OPENCV_FISHEYE": ("50 48 33 23 .05 -.01 .002 0", None, FISHEYE),
    "SIMPLE_RADIAL_FISHEYE": ("50 33 23 .05", None, WideLens("fisheye", (0.05, 0.0, 0.0, 0.0))),
    "RADIAL_FISHEYE": ("50 33 23 .05 -.01", None, WideLens("fisheye", (0.05, -0.01, 0.0, 0.0))),
}  # fmt: skip


@pytest.mark.parametrize("model", COLMAP_MODELS)
def test_more_camera_models_of_colmap(tmp_path: Path, model: str) -> None:
    numbers, distortion, lens = COLMAP_MODELS[model]
    write_colmap(tmp_path / "model", make_series(3), "PINHOLE", binary=False)
    (tmp_path / "model" / "cameras.txt").write_text(f"7 {model.split()[0]} 64 48 {numbers}\n")
    camera = read_cameras(tmp_path / "model")[0]
    focal_y = 50.0 if "RADIAL" in model else 48.0
    assert camera.pinhole == (50.0, focal_y, 33.0, 23.0, *(distortion or (0.0,) * 5)) and camera.lens == lens


def test_fisheyes_of_nerfstudio(tmp_path: Path) -> None:
    lens = {"camera_model": "OPENCV_FISHEYE", "k1": 0.05, "k2": -0.01, "k3": 0.002, "k4": 0.0, "p1": 0.5}
    write_transforms(tmp_path / "transforms.json", make_series(2), **lens)
    camera = read_cameras(tmp_path / "transforms.json")[0]
    assert camera.pinhole == PINHOLE and camera.lens == FISHEYE


def test_cameras_of_other_pictures_do_not_matter(tmp_path: Path) -> None:
    """Neither one that no picture uses, nor one whose pictures are not asked for."""
    folder = tmp_path / "model"
    write_colmap(folder, make_series(3), "PINHOLE", binary=False)
    text = (folder / "cameras.txt").read_text()
    (folder / "cameras.txt").write_text(text + "8 FOV 64 48 50 50 32 24 0.9\n9 NEWER 64 48 1 2 3\n")
    assert len(read_cameras(folder)) == 3
    images = (folder / "images.txt").read_text()
    (folder / "images.txt").write_text(images.replace("7 front/img_2", "8 side/img_2"))
    with pytest.raises(InputError, match="camera model FOV"):
        read_cameras(folder)
    assert [camera.name for camera in read_cameras(folder, match="front/*")] == ["front/img_0.png", "front/img_1.png"]
    with pytest.raises(InputError, match="'back/\\*' fits none of 3"):
        read_cameras(folder, match="back/*")


def test_pictures_that_were_sorted_out_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cameras = make_series(6)
    paths = take_pictures(tmp_path / "in", cameras)
    paths[2].unlink()
    kept, found = cameras_with_pictures(tmp_path / "in", cameras)
    assert found == [*paths[:2], *paths[3:]] and kept == [*cameras[:2], *cameras[3:]]
    assert "no picture for 1 of 6 cameras, which are left out: front/img_2.png" in capsys.readouterr().err
    assert drive_of(tmp_path / "drive", kept, found).num_frames == 5


def test_a_picture_belongs_to_one_camera_and_wins_over_its_notes(tmp_path: Path) -> None:
    cameras = make_series(2)
    paths = take_pictures(tmp_path / "in", cameras)
    (tmp_path / "in" / "front" / "img_1.txt").write_text("a note")
    assert find_images(tmp_path / "in", [dataclasses.replace(cameras[1], name="front/img_1")]) == [paths[1]]
    twin = dataclasses.replace(cameras[1], name="left/img_1.png")
    with pytest.raises(InputError, match="of cameras 'front/img_1.png' and 'left/img_1.png'"):
        find_images(tmp_path / "in" / "front", [cameras[1], twin])


NAMES: dict[str, Callable[[str], str]] = {
    "backslashes": lambda name: name.replace("/", "\\"),
    "backslashes from here": lambda name: ".\\" + name.replace("/", "\\"),
    "no suffix": lambda name: name.removesuffix(".png"),
    "another suffix": lambda name: name.replace(".png", ".bmp"),
}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("suffix", [".jpg", ".PNG"])
def test_names_of_transforms_find_their_pictures(tmp_path: Path, kind: str, suffix: str) -> None:
    """With the sizes in the file, and with sizes that only the pictures tell."""
    cameras = make_series(3)
    paths = take_pictures(tmp_path, cameras, suffix)
    named = [dataclasses.replace(camera, name=NAMES[kind](camera.name)) for camera in cameras]
    write_transforms(tmp_path / "transforms.json", named)
    content = json.loads((tmp_path / "transforms.json").read_text())
    (tmp_path / "no_size.json").write_text(json.dumps({k: v for k, v in content.items() if k not in ("w", "h")}))
    for file in ("transforms.json", "no_size.json") if kind != "another suffix" else ("transforms.json",):
        found = read_cameras(tmp_path / file)
        assert [(camera.width, camera.height) for camera in found] == [(64, 48)] * 3
        assert find_images(tmp_path, found) == paths


def test_names_of_colmap_with_backslashes(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_colmap(folder, make_series(2), "PINHOLE", binary=False)
    (folder / "images.txt").write_text((folder / "images.txt").read_text().replace("front/", "front\\"))
    assert [camera.name for camera in read_cameras(folder, match="front/*")] == ["front/img_0.png", "front/img_1.png"]


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_orientation_in_exif_is_said_and_can_be_applied(
    tmp_path: Path, orientation: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A camera held on its side (6, 8) or upside down (3): its pixels are stored turned."""
    cameras = make_series(3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    paths = take_pictures(tmp_path / "in", cameras, ".png")
    turn = {3: 2, 6: 1, 8: 3}[orientation]
    for path in paths:
        Image.fromarray(np.rot90(np.asarray(Image.open(path)), turn).copy()).save(path, exif=exif)
        assert exif_orientation(path) == orientation
    clip = drive_of(tmp_path / "drive", cameras, paths, apply_exif=True)
    assert_shows_pattern(clip, 1e-6)
    assert not capsys.readouterr().err
    if orientation == 3:
        drive_of(tmp_path / "stored", cameras, paths)
        assert "the EXIF orientation of 3 of 3 pictures asks for a turn" in capsys.readouterr().err
    else:
        with pytest.raises(InputError, match="48x64, stored on its side by its EXIF orientation .*--apply_exif"):
            plan_series(cameras, paths)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_in_front_of_text_are_no_content(tmp_path: Path, encoding: str) -> None:
    """As Windows' editors and shells write it."""
    cameras = make_series(3)
    write_transforms(tmp_path / "transforms.json", cameras)
    write_colmap(tmp_path / "model", cameras, "PINHOLE", binary=False)
    np.savetxt(tmp_path / "pose.txt", np.eye(4))
    np.savetxt(tmp_path / "poses.txt", np.tile(np.eye(4).flatten(), (3, 1)))
    for path in [*tmp_path.glob("*.*"), *(tmp_path / "model").iterdir()]:
        path.write_text(path.read_text(), encoding=encoding)
    for path in (tmp_path / "transforms.json", tmp_path / "model"):
        assert [camera.name for camera in read_cameras(path)] == [camera.name for camera in cameras]
    np.testing.assert_array_equal(read_pose(tmp_path / "pose.txt"), np.eye(4))
    assert read_ego_poses(tmp_path / "poses.txt", 3).shape == (3, 4, 4)


def test_hidden_colours_do_not_count(tmp_path: Path) -> None:
    """Transparent pixels of a picture are blind, and the colour below them is not shown."""
    cameras = make_series(2)
    paths = take_pictures(tmp_path / "in", cameras)
    for path in paths:
        pixels = np.asarray(Image.open(path)).copy()
        alpha = np.full(pixels.shape[:2], 255, np.uint8)
        alpha[:, :20], pixels[:, :20] = 0, (255, 0, 255)
        Image.fromarray(np.dstack([pixels, alpha])).save(path)
    clip = drive_of(tmp_path / "drive", cameras, paths)
    blind = load_blind_mask(clip.frames[0])
    assert blind[:, :20].all() and not blind[:, 20:].any()
    assert_shows_pattern(clip, 1e-6)
    image = load_image(clip.frames[0])
    torch.testing.assert_close(image[:, :20], image[:, 20:21].expand(-1, 20, -1))
