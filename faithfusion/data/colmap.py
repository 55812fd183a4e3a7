"""Reads cameras and poses from the `cameras` and `images` files of COLMAP models, text or binary."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from faithfusion.data.posed_camera import PosedCamera, make_camera, matching_names, slashed
from faithfusion.data.wide_lens import WideLens
from faithfusion.utils.errors import InputError
from faithfusion.utils.text_files import read_text

# model id: name, number of parameters; the first four are fx fy cx cy, or the first three f cx cy
MODELS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
}
ONE_FOCAL = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")
UNSUPPORTED = ("FOV", "THIN_PRISM_FISHEYE")
SUPPORTED = ", ".join(name for name, _ in MODELS.values() if name not in UNSUPPORTED)
POINT_BYTES = 24  # of one observation: x, y as float64, id as int64


@dataclass(frozen=True)
class _Camera:
    """A row of the file of cameras, understood only when a picture uses it."""

    where: str
    model: str
    size: tuple[int, int]
    parameters: tuple[float, ...]

    def intrinsics(self) -> tuple[tuple[float, ...], WideLens | None]:
        """fx fy cx cy k1 k2 p1 p2 k3, and the lens if these five cannot describe it. InputError for another model."""
        counts = {name: count for name, count in MODELS.values() if name not in UNSUPPORTED}
        if self.model not in counts:
            expected = f"one of {SUPPORTED}; undistort the images with COLMAP first"
            raise InputError(self.where, f"camera model {self.model}", expected)
        if len(self.parameters) != counts[self.model]:
            expected = f"{counts[self.model]} of {self.model}"
            raise InputError(self.where, f"{len(self.parameters)} parameters", expected)
        start = 3 if self.model in ONE_FOCAL else 4
        head, rest = self.parameters[:start], self.parameters[start:]
        head = (head[0], *head) if start == 3 else head
        if self.model.endswith("FISHEYE"):
            return (*head, *(0.0,) * 5), WideLens("fisheye", (*rest, *(0.0,) * 4)[:4])
        if any(rest[5:]):
            return (*head, *(0.0,) * 5), WideLens("rational", rest)
        return (*head, *(*rest, *(0.0,) * 5)[:5]), None


def read_colmap(folder: Path, match: str = "*") -> list[PosedCamera]:
    """Cameras of the images of a model whose names fit a shell pattern: `folder` or its `sparse/0` or `sparse`.

    InputError if there is no model, a file is cut off, no name fits, or an image's camera has a model that is not
    supported (undistort such images with COLMAP first); cameras that no image uses do not matter.
    """
    for place in (folder, folder / "sparse" / "0", folder / "sparse"):
        for suffix in (".bin", ".txt"):
            files = place / f"cameras{suffix}", place / f"images{suffix}"
            if all(path.is_file() for path in files):
                return _read_model(*files, match)
    raise InputError(folder, "no cameras.bin and images.bin (or .txt), here or in sparse/0", "a COLMAP model")


def _read_model(cameras_path: Path, images_path: Path, match: str) -> list[PosedCamera]:
    binary = cameras_path.suffix == ".bin"
    try:
        rows = dict((_binary_cameras if binary else _text_cameras)(cameras_path))
    except (struct.error, ValueError, IndexError) as error:
        raise InputError(cameras_path, f"damaged ({error})", "cameras of a COLMAP model") from None
    cameras = []
    try:
        images = list((_binary_images if binary else _text_images)(images_path))
        names = [slashed(image[-1]) for image in images]
        chosen = matching_names(names, match) if names else set()
        for name, (number, quat, translation, camera_id, _) in zip(names, images, strict=True):
            if name not in chosen:
                continue
            where = f"{images_path}, image {number}"
            if camera_id not in rows:
                raise InputError(where, f"camera {camera_id}", f"a camera of {cameras_path.name}")
            pinhole, lens = rows[camera_id].intrinsics()
            pose = np.eye(4)
            pose[:3, :3] = Rotation.from_quat(quat, scalar_first=True).as_matrix().T
            pose[:3, 3] = -pose[:3, :3] @ np.asarray(translation)
            cameras.append(make_camera(where, name, rows[camera_id].size, pinhole, pose, lens))
    except InputError:
        raise
    except (struct.error, ValueError, IndexError) as error:
        raise InputError(images_path, f"damaged ({error})", "images of a COLMAP model") from None
    return cameras


def _text_cameras(path: Path) -> Iterator[tuple[int, _Camera]]:
    for line in _lines(path):
        number, name, width, height, *parameters = line.split()
        where = f"{path}, camera {number}"
        yield int(number), _Camera(where, name, (int(width), int(height)), tuple(map(float, parameters)))


def _text_images(path: Path) -> Iterator[tuple]:
    """Every image has two lines: its pose, and its observations, which may be empty."""
    lines = [line for line in read_text(path).splitlines() if not line.startswith("#")]
    for line in lines[::2]:
        if not line.strip():
            continue
        words = line.split(maxsplit=9)
        yield int(words[0]), tuple(map(float, words[1:5])), tuple(map(float, words[5:8])), int(words[8]), words[9]


def _lines(path: Path) -> list[str]:
    return [line for line in read_text(path).splitlines() if line.strip() and not line.startswith("#")]


def _binary_cameras(path: Path) -> Iterator[tuple[int, _Intrinsics]]:
    content = path.read_bytes()
    (count,), offset = struct.unpack_from("<Q", content), 8
    for _ in range(count):
        number, model, width, height = struct.unpack_from("<iiQQ", content, offset)
        where = f"{path}, camera {number}"
        if model not in MODELS:
            raise InputError(where, f"camera model {model}", f"one of {SUPPORTED}")
        name, parameters = MODELS[model]
        form = f"<{parameters}d"
        values = struct.unpack_from(form, content, offset + 24)
        offset += 24 + struct.calcsize(form)
        yield number, _Camera(where, name, (width, height), values)


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
