"""Text files of the DriveStudio layout: 4x4 poses and pinhole intrinsics with lens distortion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from faithfusion.utils.errors import InputError
from faithfusion.utils.text_files import read_text

RIGID_TOLERANCE = 1e-3  # of R^T R - I; poses pass through decimal text and odometry, so not machine precision


def read_numbers(path: Path) -> np.ndarray:
    """All numbers of a text file, flat, float64. InputError if it is missing, not numeric or not finite."""
    try:
        values = np.array(read_text(path).replace(",", " ").split(), dtype=np.float64)
    except FileNotFoundError:
        raise InputError(path, "no such file", "a text file of numbers") from None
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise InputError(path, f"cannot be read ({error})", "a text file of numbers") from None
    if not np.isfinite(values).all():
        raise InputError(path, f"{int((~np.isfinite(values)).sum())} values are NaN or infinite", "finite numbers")
    return values


def read_pose(path: Path) -> np.ndarray:
    """A rigid 4x4 transform, float64. InputError if the file does not hold one."""
    values = read_numbers(path)
    if values.size != 16:
        raise InputError(path, f"{values.size} numbers", "a 4x4 matrix")
    return require_rigid(values.reshape(4, 4), path)


def require_rigid(matrix: np.ndarray, where: str | Path) -> np.ndarray:
    """`matrix` unchanged, or InputError if it is not finite, scales, shears or mirrors."""
    rotation = matrix[:3, :3]
    if not np.isfinite(matrix).all():
        raise InputError(where, "a pose with NaN or infinite values", "a rigid 4x4 transform")
    deviation = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if (
        deviation > RIGID_TOLERANCE
        or np.linalg.det(rotation) < 0
        or not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6)
    ):
        found = (
            f"not rigid (|R^T R - I| = {deviation:.2g}, det R = {np.linalg.det(rotation):.3g}, last row {matrix[3]})"
        )
        raise InputError(where, found, "a rotation and a translation, last row 0 0 0 1")
    return matrix


def invert_rigid(pose: np.ndarray) -> np.ndarray:
    """Inverse of a rigid 4x4 transform."""
    inverse = np.eye(4)
    inverse[:3, :3] = pose[:3, :3].T
    inverse[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return inverse


def yaw_pose(centre: Sequence[float] | np.ndarray, yaw: float) -> np.ndarray:
    """The 4x4 pose at `centre` that is turned by `yaw` radians about z, from x towards y."""
    pose = np.eye(4)
    cos, sin = np.cos(yaw), np.sin(yaw)
    pose[:2, :2] = [[cos, -sin], [sin, cos]]
    pose[:3, 3] = centre
    return pose


def read_intrinsics(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(K [3, 3] in pixels, distortion [5] = k1 k2 p1 p2 k3) from `fx fy cx cy [k1 k2 p1 p2 k3]`.

    InputError if there are neither 4 nor 9 numbers or a focal length is not positive.
    """
    values = read_numbers(path)
    if values.size not in (4, 9):
        raise InputError(path, f"{values.size} numbers", "fx fy cx cy, or fx fy cx cy k1 k2 p1 p2 k3")
    fx, fy, cx, cy = values[:4]
    if min(fx, fy) <= 0:
        raise InputError(path, f"focal lengths {fx}, {fy}", "positive focal lengths in pixels")
    matrix = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    return matrix, values[4:] if values.size == 9 else np.zeros(5)
