"""Drives as people cut and export them: numbers that start anywhere, 16 bits, empty scans, alpha, a few frames."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import write_tiny_clip

from faithfusion.check.check_clip import check_clip
from faithfusion.data.drive_reader import clip_from_dataset_world, read_drive
from faithfusion.data.images import load_blind_mask, load_dynamic_mask, load_image
from faithfusion.data.lidar import load_points_world
from faithfusion.data.picture_scale import require_own_intrinsics
from faithfusion.data.split_config import SplitConfig
from faithfusion.data.splits import split_clip
from faithfusion.utils.errors import InputError
from faithfusion.utils.media import read_alpha, read_image


def renumber(root: Path, first: int) -> None:
    """A cut of a longer drive: numbers in file names and boxes start at `first`."""
    for path in sorted((path for path in root.rglob("[0-9][0-9][0-9]*.*")), reverse=True):
        number, rest = re.fullmatch(r"(\d{3})(.*)", path.name).groups()
        path.rename(path.with_name(f"{int(number) + first:03d}{rest}"))
    info = json.loads((root / "instances" / "instances_info.json").read_text())
    for box in info.values():
        box["frame_annotations"]["frame_idx"] = [t + first for t in box["frame_annotations"]["frame_idx"]]
    (root / "instances" / "instances_info.json").write_text(json.dumps(info))
    lists = json.loads((root / "instances" / "frame_instances.json").read_text())
    shifted = {str(int(t) + first): ids for t, ids in lists.items()}
    (root / "instances" / "frame_instances.json").write_text(json.dumps(shifted))


def test_frame_numbers_may_start_anywhere(tmp_path: Path) -> None:
    plain = read_drive(write_tiny_clip(tmp_path / "plain"))
    write_tiny_clip(tmp_path / "cut")
    renumber(tmp_path / "cut", 10)
    cut = read_drive(tmp_path / "cut")
    assert (cut.num_frames, cut.missing) == (plain.num_frames, plain.missing)
    torch.testing.assert_close(cut.world_from_ego, plain.world_from_ego)
    np.testing.assert_allclose(clip_from_dataset_world(cut.root), clip_from_dataset_world(plain.root))
    for one, two in zip(cut.frames, plain.frames, strict=True):
        assert one.time_index == two.time_index and one.image_path.read_bytes() == two.image_path.read_bytes()
        assert one.dynamic_mask_path.read_bytes() == two.dynamic_mask_path.read_bytes()
        torch.testing.assert_close(one.camera.world_from_camera, two.camera.world_from_camera)
    for one, two in zip(cut.tracks, plain.tracks, strict=True):
        assert torch.equal(one.time_indices, two.time_indices)
    torch.testing.assert_close(load_points_world(cut, 3), load_points_world(plain, 3))
    assert read_drive(tmp_path / "cut", num_frames=2).num_frames == 2


def test_the_line_says_what_numbers_are_there(tmp_path: Path) -> None:
    root = write_tiny_clip(tmp_path / "drive")
    renumber(root, 10)
    (root / "images" / "012_0.jpg").unlink()
    with pytest.raises(InputError, match=r"012_0.jpg: missing frame.* this camera has numbers 10 to 15"):
        read_drive(root)
    info = json.loads((root / "instances" / "instances_info.json").read_text())
    info["0"]["frame_annotations"]["frame_idx"][0] = 0
    (root / "instances" / "instances_info.json").write_text(json.dumps(info))
    write_tiny_clip(tmp_path / "other")
    (tmp_path / "other" / "images" / "002_0.jpg").rename(root / "images" / "012_0.jpg")
    with pytest.raises(InputError, match="a box at frame 0; expected frames 10 to 15"):
        read_drive(root)


def test_grey_of_16_bits_is_scaled_by_its_depth(tmp_path: Path) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (24, 32)).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    assert Image.open(tmp_path / "16.png").mode.startswith("I")
    torch.testing.assert_close(read_image(tmp_path / "16.png"), read_image(tmp_path / "8.png"))
    assert read_alpha(tmp_path / "16.png") is None


def test_masks_of_16_bits_mark_what_is_not_dark(tmp_path: Path) -> None:
    """Labels such as 200 of 65535 are white, as in masks of 8 bits."""
    root = write_tiny_clip(tmp_path / "drive")
    before = load_dynamic_mask(read_drive(root).frames[0])
    for path in (root / "dynamic_masks" / "all").iterdir():
        Image.fromarray((np.asarray(Image.open(path)) > 127).astype(np.uint16) * 200).save(path)
    assert before.any() and torch.equal(load_dynamic_mask(read_drive(root).frames[0]), before)


def test_an_empty_scan_is_a_frame_without_one(tmp_path: Path) -> None:
    root = write_tiny_clip(tmp_path / "drive")
    (root / "lidar" / "004.bin").write_bytes(b"")
    clip = read_drive(root)
    assert clip.missing == ("lidar (1 of 6; empty: 004.bin)",) and clip.lidar_paths[4] is None
    assert load_points_world(clip, 4).shape == (0, 3) and len(load_points_world(clip, 3))
    for path in (root / "lidar").iterdir():
        path.write_bytes(b"")
    assert read_drive(root).missing == ("lidar",)


def hide_left_half(root: Path, mode: str) -> None:
    """Pictures as PNG whose left half is transparent and magenta below."""
    for path in list((root / "images").iterdir()):
        pixels = np.asarray(Image.open(path)).copy()
        alpha = np.full(pixels.shape[:2], 255, np.uint8)
        alpha[:, :16], pixels[:, :16] = 0, (255, 0, 255)
        Image.fromarray(np.dstack([pixels, alpha])).convert(mode).save(path.with_suffix(".png"))
        path.unlink()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("distortion", [(0.0,) * 5, (0.05, 0.0, 0.0, 0.0, 0.0)])
def test_transparent_pixels_are_blind(tmp_path: Path, mode: str, distortion: tuple[float, ...]) -> None:
    root = write_tiny_clip(tmp_path / "drive", optional=False, distortion=distortion)
    hide_left_half(root, mode)
    frame = read_drive(root).frames[0]
    blind, image = load_blind_mask(frame), load_image(frame)
    assert blind[:, :15].all() and not blind[4:-4, 18:-4].any()
    magenta = (image[:, :15] - torch.tensor([1.0, 0.0, 1.0])).abs().amax(-1)
    assert float(magenta.min()) > 0.1


def test_a_picture_that_is_transparent_everywhere_is_blind(tmp_path: Path) -> None:
    root = write_tiny_clip(tmp_path / "drive", optional=False)
    (root / "images" / "000_0.jpg").unlink()
    Image.fromarray(np.zeros((24, 32, 4), np.uint8)).save(root / "images" / "000_0.png")
    frame = read_drive(root).frame(0, "0")
    assert load_blind_mask(frame).all() and load_image(frame).shape == (24, 32, 3)


@pytest.mark.parametrize(("num_frames", "held_out"), [(1, []), (2, [1]), (3, [1]), (4, [2]), (5, [4]), (12, [4])])
def test_short_clips_choose_their_own_split(tmp_path: Path, num_frames: int, held_out: list[int]) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "drive", num_frames=num_frames, optional=False))
    split = split_clip(clip, SplitConfig())
    assert sorted({frame.time_index for frame in split.held_out}) == held_out
    assert split.train


def test_the_line_about_a_stride_names_one_that_works(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "drive", num_frames=1, optional=False))
    with pytest.raises(InputError, match="held_out_every: 9; expected 0 for a single frame"):
        split_clip(clip, SplitConfig(held_out_every=9))


def test_intrinsics_of_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    """Pictures twice as large: a fit would go on and show nothing sharp."""
    root = write_tiny_clip(tmp_path / "drive", optional=False)
    require_own_intrinsics(read_drive(root))
    for path in (root / "images").iterdir():
        Image.open(path).resize((64, 48)).save(path)
    with pytest.raises(InputError, match="0.txt: intrinsics of pictures of about 32x24; expected .* 64x48"):
        require_own_intrinsics(read_drive(root))


def test_orientation_in_exif_is_remarked(tmp_path: Path) -> None:
    root = write_tiny_clip(tmp_path / "drive", camera_names=("0",))
    exif = Image.Exif()
    exif[0x0112] = 3
    for path in (root / "images").iterdir():
        Image.open(path).save(path, exif=exif)
    found = [finding.text for finding in check_clip(read_drive(root)).findings if finding.subject == "camera 0"]
    assert any("the EXIF orientation asks for a turn (3)" in text for text in found)
