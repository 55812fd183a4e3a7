"""Reads cameras and poses from the `cameras` and `images` files of COLMAP models, text or binary."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from faithfusion.data.posed_camera import PosedCamera, make_camera
from faithfusion.utils.errors import InputError

# model id, name: where fx fy cx cy k1 k2 p1 p2 k3 stand among its parameters (None: 0)
MODELS = {
    0: ("SIMPLE_PINHOLE", (0, 0, 1, 2, None, None, None, None, None)),
    1: ("PINHOLE", (0, 1, 2, 3, None, None, None, None, None)),
    2: ("SIMPLE_RADIAL", (0, 0, 1, 2, 3, None, None, None, None)),
    3: ("RADIAL", (0, 0, 1, 2, 3, 4, None, None, None)),
    4: ("OPENCV", (0, 1, 2, 3, 4, 5, 6, 7, None)),
}
NUM_PARAMETERS = {0: 3, 1: 4, 2: 4, 3: 5, 4: 8}
SUPPORTED = ", ".join(name for name, _ in MODELS.values())
POINT_BYTES = 24  # of one observation: x, y as float64, id as int64


@dataclass(frozen=True)
class _Intrinsics:
    size: tuple[int, int]
    pinhole: tuple[float, ...]


def read_colmap(folder: Path) -> list[PosedCamera]:
    """Cameras of the images of a model: `folder` or its `sparse/0` or `sparse`.

    InputError if there is no model, a file is cut off, or a camera has a model other than the pinholes with radial and
    tangential distortion (undistort such images with COLMAP first).
    """
    for place in (folder, folder / "sparse" / "0", folder / "sparse"):
        for suffix in (".bin", ".txt"):
            files = place / f"cameras{suffix}", place / f"images{suffix}"
            if all(path.is_file() for path in files):
                return _read_model(*files)
    raise InputError(folder, "no cameras.bin and images.bin (or .txt), here or in sparse/0", "a COLMAP model")


def _read_model(cameras_path: Path, images_path: Path) -> list[PosedCamera]:
    binary = cameras_path.suffix == ".bin"
    try:
        intrinsics = dict((_binary_cameras if binary else _text_cameras)(cameras_path))
    except (struct.error, ValueError, IndexError) as error:
        raise InputError(cameras_path, f"damaged ({error})", "cameras of a COLMAP model") from None
    cameras = []
    try:
        for number, quat, translation, camera_id, name in (_binary_images if binary else _text_images)(images_path):
            where = f"{images_path}, image {number}"
            if camera_id not in intrinsics:
                raise InputError(where, f"camera {camera_id}", f"a camera of {cameras_path.name}")
            camera = intrinsics[camera_id]
            pose = np.eye(4)
            pose[:3, :3] = Rotation.from_quat(quat, scalar_first=True).as_matrix().T
            pose[:3, 3] = -pose[:3, :3] @ np.asarray(translation)
            cameras.append(make_camera(where, name, camera.size, camera.pinhole, pose))
    except InputError:
        raise
    except (struct.error, ValueError, IndexError) as error:
        raise InputError(images_path, f"damaged ({error})", "images of a COLMAP model") from None
    return cameras


def _intrinsics(where: str, model: int, size: tuple[int, int], parameters: tuple[float, ...]) -> _Intrinsics:
    places = MODELS[model][1]
    if len(parameters) != NUM_PARAMETERS[model]:
        raise InputError(where, f"{len(parameters)} parameters", f"{NUM_PARAMETERS[model]} of {MODELS[model][0]}")
    return _Intrinsics(size, tuple(0.0 if place is None else parameters[place] for place in places))


def _require_model(where: str, model: Any) -> int:
    names = {name: number for number, (name, _) in MODELS.items()}
    number = names.get(model, model)
    if number not in MODELS:
        raise InputError(where, f"camera model {model}", f"one of {SUPPORTED}; undistort the images with COLMAP first")
    return number


def _text_cameras(path: Path) -> Iterator[tuple[int, _Intrinsics]]:
    for line in _lines(path):
        number, name, width, height, *parameters = line.split()
        where = f"{path}, camera {number}"
        model = _require_model(where, name)
        yield int(number), _intrinsics(where, model, (int(width), int(height)), tuple(map(float, parameters)))


def _text_images(path: Path) -> Iterator[tuple]:
    """Every image has two lines: its pose, and its observations, which may be empty."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    for line in lines[::2]:
        if not line.strip():
            continue
        words = line.split(maxsplit=9)
        yield int(words[0]), tuple(map(float, words[1:5])), tuple(map(float, words[5:8])), int(words[8]), words[9]


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


def _binary_cameras(path: Path) -> Iterator[tuple[int, _Intrinsics]]:
    content = path.read_bytes()
    (count,), offset = struct.unpack_from("<Q", content), 8
    for _ in range(count):
        number, model, width, height = struct.unpack_from("<iiQQ", content, offset)
        where = f"{path}, camera {number}"
        form = f"<{NUM_PARAMETERS[_require_model(where, model)]}d"
        parameters = struct.unpack_from(form, content, offset + 24)
        offset += 24 + struct.calcsize(form)
        yield number, _intrinsics(where, model, (width, height), parameters)


def _binary_images(path: Path) -> Iterator[tuple]:
    content = path.read_bytes()
    (count,), offset = struct.unpack_from("<Q", content), 8
    for _ in range(count):
        number, *numbers, camera_id = struct.unpack_from("<i7di", content, offset)
        end = content.index(b"\0", offset + 64)
        name = content[offset + 64 : end].decode()
        (points,) = struct.unpack_from("<Q", content, end + 1)
        offset = end + 9 + points * POINT_BYTES
        if offset > len(content):
            raise ValueError("cut off")
        yield number, tuple(numbers[:4]), tuple(numbers[4:]), camera_id, name
