"""A camera of a camera file: where one picture was taken from, whatever the file's own conventions are."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faithfusion.data.calibration_text import require_rigid
from faithfusion.data.wide_lens import WideLens
from faithfusion.utils.errors import InputError
from faithfusion.utils.similarity import Similarity


@dataclass(frozen=True)
class PosedCamera:
    """One picture's camera; `name` is the picture's name or path as the file gives it, with slashes."""

    name: str
    width: int
    height: int
    pinhole: tuple[float, ...]  # fx fy cx cy k1 k2 p1 p2 k3, pixels with centres at +0.5
    world_from_camera: np.ndarray  # [4, 4] float64, OpenCV axes; units of the file
    lens: WideLens | None = None  # instead of k1 k2 p1 p2 k3, which are 0 then


def make_camera(
    where: str,
    name: str,
    size: tuple[float, float],
    pinhole: tuple[float, ...],
    pose: np.ndarray,
    lens: WideLens | None = None,
) -> PosedCamera:
    """A checked camera; backslashes in the name separate folders, as on Windows. InputError for a size or focal length
    that is not positive, numbers that are not finite and a pose that is not rigid."""
    numbers = (*pinhole, *(lens.coefficients if lens else ()))
    if min(size) < 1 or len(pinhole) != 9 or not np.isfinite(numbers).all() or min(pinhole[:2]) <= 0:
        found = f"size {size}, fx fy cx cy and distortion {numbers}"
        raise InputError(where, found, "a positive size and positive focal lengths")
    rigid = nearest_rigid(pose, where)
    return PosedCamera(slashed(name), int(size[0]), int(size[1]), tuple(map(float, pinhole)), rigid, lens)


def slashed(name: str) -> str:
    """A picture's path with slashes between its folders."""
    return name.replace("\\", "/")


def nearest_rigid(pose: np.ndarray, where: str) -> np.ndarray:
    """The pose with its rotation made orthonormal to the last digit. InputError if it was not nearly so."""
    require_rigid(pose, where)
    left, _, right = np.linalg.svd(pose[:3, :3])
    rigid = pose.copy()
    rigid[:3, :3] = left @ right
    return rigid


def in_order(where: str | Path, cameras: list[PosedCamera]) -> list[PosedCamera]:
    """Sorted by name with numbers as numbers. InputError for no camera at all and for two of one name."""
    if not cameras:
        raise InputError(where, "no cameras", "at least one")
    cameras = sorted(cameras, key=lambda camera: natural_key(camera.name))
    for one, two in zip(cameras[:-1], cameras[1:], strict=True):
        if one.name == two.name:
            raise InputError(where, f"two cameras named {one.name!r}", "a name of its own for each")
    return cameras


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which 'frame_10' follows 'frame_9'."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def match_cameras(cameras: Sequence[PosedCamera], pattern: str) -> list[PosedCamera]:
    """The cameras whose name fits a shell pattern. InputError if there is none."""
    chosen = matching_names([camera.name for camera in cameras], pattern)
    return [camera for camera in cameras if camera.name in chosen]


def matching_names(names: Sequence[str], pattern: str) -> set[str]:
    """The names that fit a shell pattern. InputError if there is none."""
    chosen = {name for name in names if fnmatch.fnmatch(name, pattern)}
    if not chosen:
        raise InputError("--match", f"{pattern!r} fits none of {len(names)} cameras", f"e.g. {names[0]!r}")
    return chosen


def move_cameras(cameras: Sequence[PosedCamera], move: Similarity) -> list[PosedCamera]:
    """The cameras in another frame of the scene."""
    return [
        dataclasses.replace(camera, world_from_camera=move.move_pose(camera.world_from_camera)) for camera in cameras
    ]
