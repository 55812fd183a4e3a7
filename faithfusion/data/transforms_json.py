"""nerfstudio's `transforms.json`: camera-to-world matrices with OpenGL axes (x right, y up, z back)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from faithfusion.data.image_files import image_size, picture_named
from faithfusion.data.posed_camera import PosedCamera, make_camera, slashed
from faithfusion.data.wide_lens import WideLens
from faithfusion.utils.errors import InputError
from faithfusion.utils.json_files import read_json

OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
PINHOLE_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
FISHEYE = "OPENCV_FISHEYE"
EXPECTED = "a frame of nerfstudio's transforms.json with file_path and transform_matrix, and focal lengths"


def parse_transforms(
    path: Path, content: dict[str, Any], original_world: bool, dataparser_transforms: Path | None
) -> list[PosedCamera]:
    """Cameras of the parsed file. Intrinsics of a frame win over those of the file; see `camera_files.read_cameras`."""
    move = _world_move(path, content, original_world, dataparser_transforms)
    names = [slashed(str(frame.get("file_path"))) for frame in content["frames"] if isinstance(frame, dict)]
    cameras = []
    for index, frame in enumerate(content["frames"]):
        where = f"{path}, frame {index}"
        try:
            values = {key: value for key, value in content.items() if key != "frames"} | frame
            name = slashed(str(frame["file_path"]))
            size = _size(path, [name, *names], values)
            pose = np.asarray(frame["transform_matrix"], dtype=np.float64)
            pose = np.vstack([pose.reshape(-1, 4)[:3], [0.0, 0.0, 0.0, 1.0]]) @ OPENGL_FROM_OPENCV
            pinhole, lens = _pinhole(where, values, size)
        except KeyError as error:
            raise InputError(where, f"no key {error}", EXPECTED) from None
        except (TypeError, ValueError) as error:
            raise InputError(where, f"cannot be read ({error})", EXPECTED) from None
        cameras.append(make_camera(where, name, size, pinhole, _moved(pose, *move), lens))
    return cameras


def _pinhole(where: str, values: dict[str, Any], size: tuple[int, int]) -> tuple[tuple[float, ...], WideLens | None]:
    model = values.get("camera_model", "OPENCV")
    if model not in (*PINHOLE_MODELS, FISHEYE) or (model != FISHEYE and values.get("k4", 0.0)):
        expected = " or ".join((*PINHOLE_MODELS, FISHEYE))
        raise InputError(where, f"camera model {model}, k4 = {values.get('k4', 0.0)}", expected)
    focal_x = _focal(values, "x", size[0])
    focal_y = _focal(values, "y", size[1]) or focal_x
    if focal_x is None:
        raise KeyError("fl_x")
    centre = (values.get("cx", size[0] / 2), values.get("cy", size[1] / 2))
    names = ("k1", "k2", "k3", "k4") if model == FISHEYE else ("k1", "k2", "p1", "p2", "k3")
    distortion = tuple(float(values.get(name, 0.0)) for name in names)
    lens = WideLens("fisheye", distortion) if model == FISHEYE else None
    pinhole = (focal_x, focal_y, *centre, *(distortion if lens is None else (0.0,) * 5))
    return tuple(map(float, pinhole)), lens


def _focal(values: dict[str, Any], axis: str, size_px: int) -> float | None:
    """Focal length in pixels; old files give the field of view instead."""
    if f"fl_{axis}" in values:
        return float(values[f"fl_{axis}"])
    angle = values.get(f"camera_angle_{axis}")
    return None if angle is None else 0.5 * size_px / math.tan(0.5 * float(angle))


def _size(path: Path, names: list[str], values: dict[str, Any]) -> tuple[int, int]:
    """The size that the file gives, else that of the first of the named pictures that is there."""
    if "w" in values and "h" in values:
        return int(values["w"]), int(values["h"])
    pictures = (picture_named(path.parent / name) for name in names)
    return image_size(next((picture for picture in pictures if picture is not None), path.parent / names[0]))


def _world_move(
    path: Path, content: dict[str, Any], original_world: bool, dataparser_transforms: Path | None
) -> tuple[np.ndarray, float]:
    """(4x4, scale) applied to the poses of the file: T @ pose, then centres times scale."""
    if not original_world and dataparser_transforms is None:
        return np.eye(4), 1.0
    move = np.linalg.inv(_square(path, content.get("applied_transform", np.eye(4)[:3])))
    applied_scale = float(content.get("applied_scale", 1.0))
    if dataparser_transforms is None:
        move[:3, 3] *= applied_scale
        return move, 1.0 / applied_scale
    parser = read_json(dataparser_transforms)
    try:
        return _square(dataparser_transforms, parser["transform"]) @ move, float(parser["scale"]) / applied_scale
    except (KeyError, TypeError, ValueError) as error:
        expected = "dataparser_transforms.json with transform [3, 4] and scale"
        raise InputError(dataparser_transforms, f"cannot be read ({error})", expected) from None


def _square(where: Path, matrix: Any) -> np.ndarray:
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.shape not in ((3, 4), (4, 4)):
        raise InputError(where, f"a transform of shape {matrix.shape}", "3 rows of 4 numbers")
    return np.vstack([matrix[:3], [0.0, 0.0, 0.0, 1.0]])


def _moved(pose: np.ndarray, move: np.ndarray, scale: float) -> np.ndarray:
    moved = move @ pose
    moved[:3, 3] *= scale
    return moved
