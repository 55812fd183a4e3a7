"""Files of ego poses that a user brings: 4x4 matrices, KITTI rows, TUM rows, or JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from faithfusion.data.calibration_text import require_rigid
from faithfusion.utils.errors import InputError
from faithfusion.utils.text_files import read_text

QUATERNION_TOLERANCE = 1e-2  # of its length; files round
FORMATS = (
    "4x4 matrices (4 rows of 4 numbers each, or 16 in a row), KITTI (12 in a row), TUM (t x y z qx qy qz qw) or JSON"
)


def read_ego_poses(path: Path, count: int) -> Float[np.ndarray, "t 4 4"]:
    """`count` rigid transforms, ego (x forward, y left, z up) to the file's world, metres, in the order of time.

    A text file holds numbers by lines, split by spaces or commas, `#` starts a comment: 4x4 matrices one below the
    other, 16 or 12 numbers a line (4x4 and 3x4, row by row), or 8 numbers a line (TUM: time, position, quaternion
    xyzw; times must ascend and are not used otherwise). A .json file holds a list of 3x4 or 4x4 matrices.

    Raises InputError if the file is missing, in no such format, not finite, not rigid, or has another number of poses.
    """
    poses = _from_json(path) if path.suffix.lower() == ".json" else _from_text(path)
    if len(poses) != count:
        raise InputError(path, f"{len(poses)} poses", f"one per time stamp of the clip: {count}")
    for number, pose in enumerate(poses):
        require_rigid(pose, f"{path}, pose {number}")
    return poses


def _read_text(path: Path) -> str:
    try:
        return read_text(path)
    except FileNotFoundError:
        raise InputError(path, "no such file", "a file of ego poses") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"cannot be read ({error})", "a text file of ego poses") from None


def _from_json(path: Path) -> Float[np.ndarray, "t 4 4"]:
    try:
        matrices = np.array(json.loads(_read_text(path)), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(path, f"unreadable ({' '.join(str(error).split())[:120]})", "a list of 4x4 matrices") from None
    if matrices.ndim != 3 or matrices.shape[1:] not in ((3, 4), (4, 4)):
        raise InputError(path, f"numbers of shape {matrices.shape}", "a list of 4x4 matrices")
    return _with_last_row(matrices)


def _from_text(path: Path) -> Float[np.ndarray, "t 4 4"]:
    lines = [line.partition("#")[0].replace(",", " ").split() for line in _read_text(path).splitlines()]
    try:
        rows = np.array([line for line in lines if line], dtype=np.float64)
    except ValueError as error:
        raise InputError(path, f"unreadable ({' '.join(str(error).split())[:120]})", FORMATS) from None
    width = rows.shape[1] if rows.ndim == 2 else 0
    if width == 4 and len(rows) % 4 == 0:
        return rows.reshape(-1, 4, 4)
    if width == 16:
        return rows.reshape(-1, 4, 4)
    if width == 12:
        return _with_last_row(rows.reshape(-1, 3, 4))
    if width == 8:
        return _from_tum(path, rows)
    raise InputError(path, f"{len(rows)} lines of {width} numbers", FORMATS)


def _from_tum(path: Path, rows: Float[np.ndarray, "t 8"]) -> Float[np.ndarray, "t 4 4"]:
    if not np.isfinite(rows).all():
        raise InputError(path, "values that are NaN or infinite", "finite numbers")
    if (np.diff(rows[:, 0]) <= 0).any():
        raise InputError(path, "times that do not ascend", "poses in the order of time")
    length = np.linalg.norm(rows[:, 4:], axis=-1)
    wrong = np.flatnonzero(np.abs(length - 1.0) > QUATERNION_TOLERANCE)
    if len(wrong):
        found = f"quaternion of length {length[wrong[0]]:.3g} in pose {wrong[0]}"
        raise InputError(path, found, "rigid poses: quaternions qx qy qz qw of length 1")
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(rows[:, 4:]).as_matrix()
    poses[:, :3, 3] = rows[:, 1:4]
    return poses


def _with_last_row(matrices: Float[np.ndarray, "t r 4"]) -> Float[np.ndarray, "t 4 4"]:
    if matrices.shape[1] == 4:
        return matrices
    last = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (len(matrices), 1, 4))
    return np.concatenate([matrices, last], axis=1)
