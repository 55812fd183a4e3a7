"""Every kind of damaged drive is refused with one line that names the file, before any work starts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.images import load_image
from faithfusion.utils.errors import InputError


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def _cut_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def _edit_pose(path: Path, change: Callable[[np.ndarray], None]) -> None:
    pose = np.loadtxt(path)
    change(pose)
    np.savetxt(path, pose)


def _edit_boxes(root: Path, change: Callable[[dict], None]) -> None:
    path = root / "instances" / "instances_info.json"
    info = json.loads(path.read_text())
    change(info["0"]["frame_annotations"])
    path.write_text(json.dumps(info))


def _resize(path: Path) -> None:
    Image.open(path).resize((16, 12)).save(path)


def _set(row: int, column: int, value: float) -> Callable[[np.ndarray], None]:
    def change(pose: np.ndarray) -> None:
        pose[row, column] = value

    return change


def _scale(pose: np.ndarray) -> None:
    pose[:3, :3] *= 1.1


def _mirror(pose: np.ndarray) -> None:
    pose[:3, 0] *= -1


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no such folder"),
    "no images folder": (lambda r: shutil.rmtree(r / "images"), "images: no such folder"),
    "empty images folder": (lambda r: [p.unlink() for p in (r / "images").iterdir()], "images: no images"),
    "missing image": (lambda r: (r / "images/003_1.jpg").unlink(), "003_1.jpg: missing frame"),
    "missing pose": (lambda r: (r / "ego_pose/003.txt").unlink(), "003.txt: no such file"),
    "missing last pose": (lambda r: (r / "ego_pose/005.txt").unlink(), "005.txt: no such file"),
    "missing calibration": (lambda r: (r / "extrinsics/1.txt").unlink(), "extrinsics/1.txt: no such file"),
    "cut jpeg": (lambda r: _cut(r / "images/002_0.jpg"), "002_0.jpg: c"),
    "jpeg without its end": (lambda r: _cut_end(r / "images/002_0.jpg"), "002_0.jpg: cut off"),
    "jpeg cut in its header": (lambda r: (r / "images/002_0.jpg").write_bytes(b"\xff\xd8\xff"), "cannot be opened"),
    "empty image": (lambda r: (r / "images/002_0.jpg").write_bytes(b""), "cannot be opened"),
    "cut png mask": (lambda r: _cut(r / "sky_masks/002_0.png"), "002_0.png: c"),
    "NaN in a pose": (lambda r: _edit_pose(r / "ego_pose/001.txt", _set(0, 3, np.nan)), "001.txt: 1 values are NaN"),
    "inf in extrinsics": (lambda r: _edit_pose(r / "extrinsics/0.txt", _set(1, 1, np.inf)), "0.txt: 1 values are NaN"),
    "scaled pose": (lambda r: _edit_pose(r / "ego_pose/001.txt", _scale), "001.txt: not rigid"),
    "mirrored pose": (lambda r: _edit_pose(r / "ego_pose/001.txt", _mirror), "001.txt: not rigid"),
    "projective pose": (lambda r: _edit_pose(r / "ego_pose/001.txt", _set(3, 0, 0.1)), "001.txt: not rigid"),
    "3x4 pose": (lambda r: np.savetxt(r / "ego_pose/001.txt", np.eye(4)[:3]), "001.txt: 12 numbers"),
    "words in a pose": (lambda r: (r / "ego_pose/001.txt").write_text("one two"), "001.txt: cannot be read"),
    "negative focal": (lambda r: (r / "intrinsics/0.txt").write_text("-5 5 1 1"), "focal lengths"),
    "short intrinsics": (lambda r: (r / "intrinsics/0.txt").write_text("5 5 1"), "0.txt: 3 numbers"),
    "cut scan": (lambda r: _cut(r / "lidar/004.bin"), "004.bin: .* bytes"),
    "other image size": (lambda r: _resize(r / "images/004_1.jpg"), "004_1.jpg: size 16x12; expected 32x24"),
    "other mask size": (lambda r: _resize(r / "dynamic_masks/all/004_1.png"), "004_1.png: size 16x12"),
    "box beyond the clip": (lambda r: _edit_boxes(r, lambda a: a["frame_idx"].__setitem__(2, 90)), "a box at frame 90"),
    "negative box frame": (lambda r: _edit_boxes(r, lambda a: a["frame_idx"].__setitem__(2, -1)), "a box at frame -1"),
    "two boxes at once": (lambda r: _edit_boxes(r, lambda a: a["frame_idx"].__setitem__(2, 1)), "two boxes at one"),
    "box without size": (lambda r: _edit_boxes(r, lambda a: a.pop("box_size")), "unreadable annotations"),
    "flat box": (lambda r: _edit_boxes(r, lambda a: a["box_size"].__setitem__(0, [4, 0, 1])), "positive size"),
    "boxes cut": (lambda r: _cut(r / "instances/instances_info.json"), "instances_info.json: cannot be read"),
    "unknown id": (lambda r: (r / "instances/frame_instances.json").write_text('{"0": [9]}'), "lists instances 9"),
    "ids of no frame": (lambda r: (r / "instances/frame_instances.json").write_text('{"8": [0]}'), "a box at frame 8"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    root = write_tiny_clip(tmp_path / "drive")
    damage, message = DAMAGE[case]
    read_drive(root)
    damage(root)
    with pytest.raises(InputError, match=message) as caught:
        read_drive(root)
    assert "\n" not in str(caught.value) and "; expected " in str(caught.value)


def test_unknown_camera_and_windows_longer_than_the_clip(tmp_path: Path) -> None:
    root = write_tiny_clip(tmp_path / "drive", optional=False)
    with pytest.raises(InputError, match="no camera '5'; expected one of 0, 1"):
        read_drive(root, camera_names=["0", "5"])
    with pytest.raises(InputError, match="each once"):
        read_drive(root, camera_names=["0", "0"])
    for count in (7, 0, -1):
        with pytest.raises(InputError, match=f"num_frames = {count}; expected 1 to 6"):
            read_drive(root, num_frames=count)


def test_damage_outside_the_chosen_window_does_not_matter(tmp_path: Path) -> None:
    root = write_tiny_clip(tmp_path / "drive")
    _cut(root / "images" / "005_0.jpg")
    _cut(root / "images" / "001_1.jpg")
    assert read_drive(root, camera_names=["0"], num_frames=4).num_frames == 4


def test_an_image_exchanged_after_reading_is_refused(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "drive", optional=False))
    _resize(clip.frames[0].image_path)
    with pytest.raises(InputError, match="size 16x12; expected 32x24"):
        load_image(clip.frames[0])
    clip.frames[1].image_path.write_bytes(b"no image")
    with pytest.raises(InputError, match="cannot be decoded"):
        load_image(clip.frames[1])
