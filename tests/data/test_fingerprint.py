from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.fingerprint import drive_fingerprint
from faithfusion.types import DriveClip


def fingerprint(clip: DriveClip) -> str:
    return drive_fingerprint(clip, clip.frames)


def test_a_copied_drive_is_the_same_and_another_one_is_not(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "drive", num_frames=3))
    shutil.copytree(clip.root, tmp_path / "elsewhere" / "drive")
    assert fingerprint(read_drive(tmp_path / "elsewhere" / "drive")) == fingerprint(clip)
    moved = dataclasses.replace(clip, world_from_ego=clip.world_from_ego + 1e-3)
    other_camera = dataclasses.replace(clip.frames[0].camera, intrinsics=clip.frames[0].camera.intrinsics * 1.01)
    frames = (dataclasses.replace(clip.frames[0], camera=other_camera), *clip.frames[1:])
    fewer = dataclasses.replace(clip, frames=clip.frames[1:])
    with clip.frames[1].image_path.open("ab") as image:
        image.write(b"changed")
    found = [fingerprint(one) for one in (moved, dataclasses.replace(clip, frames=frames), fewer, clip)]
    original = fingerprint(read_drive(tmp_path / "elsewhere" / "drive"))
    assert len({original, *found}) == 5
