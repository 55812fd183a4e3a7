"""Cameras of other programs, as they hold them in memory, for `types.Camera`.

Pixel centres are at +0.5 everywhere, intrinsics are in pixels, and poses are in the unit of the scene they belong to.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.data.calibration_text import invert_rigid
from faithfusion.data.posed_camera import PosedCamera, nearest_rigid
from faithfusion.data.transforms_json import OPENGL_FROM_OPENCV
from faithfusion.types import Camera
from faithfusion.utils.errors import InputError


def cameras_from_gsplat(
    viewmats: Float[Tensor, "c 4 4"], intrinsics: Float[Tensor, "c 3 3"], width: int, height: int
) -> list[Camera]:
    """Cameras as `gsplat.rasterization` takes them: world to camera, x right, y down, z forward; `Ks` as intrinsics.

    Raises InputError if the shapes do not match, a pose is not rigid, a focal length is not positive or the axes of a
    camera are not at right angles (skew).
    """
    poses = [invert_rigid(_rigid(matrix, index)) for index, matrix in enumerate(_matrices(viewmats))]
    return _cameras(poses, intrinsics, width, height)


def cameras_from_nerfstudio(
    camera_to_worlds: Float[Tensor, "c r 4"], intrinsics: Float[Tensor, "c 3 3"], width: int, height: int
) -> list[Camera]:
    """Cameras as nerfstudio has them: camera to world (3 or 4 rows), OpenGL axes: x right, y up, z back.

    Of nerfstudio's `cameras` these are `camera_to_worlds` and `get_intrinsics_matrices()`; a lens distortion has to be
    taken out of the images first. Raises InputError as `cameras_from_gsplat`.
    """
    poses = []
    for index, matrix in enumerate(_matrices(camera_to_worlds)):
        whole = np.vstack([matrix[:3], [0.0, 0.0, 0.0, 1.0]]) if len(matrix) == 3 else matrix
        poses.append(_rigid(whole, index) @ OPENGL_FROM_OPENCV)
    return _cameras(poses, intrinsics, width, height)


def camera_of_file(posed: PosedCamera, width: int) -> Camera:
    """A camera of a camera file (`data.camera_files.read_cameras`) with its picture scaled to `width` pixels.

    Raises InputError if the lens distorts: undistort the pictures and take the cameras that belong to them.
    """
    if posed.lens is not None or any(posed.pinhole[4:]):
        distortion = posed.pinhole[4:] if posed.lens is None else posed.lens.coefficients
        raise InputError(posed.name, f"distortion {distortion}", "a pinhole camera (undistorted pictures)")
    scale = width / posed.width
    fx, fy, cx, cy = (scale * value for value in posed.pinhole[:4])
    intrinsics = torch.tensor([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    return Camera(intrinsics, torch.from_numpy(posed.world_from_camera).float(), width, round(scale * posed.height))


def _matrices(tensor: Tensor) -> np.ndarray:
    if tensor.ndim != 3 or tensor.shape[1] not in (3, 4) or tensor.shape[2] != 4:
        raise InputError("poses of cameras", f"shape {tuple(tensor.shape)}", "one 4 x 4 matrix for each camera")
    return tensor.detach().cpu().double().numpy()


def _rigid(matrix: np.ndarray, index: int) -> np.ndarray:
    if len(matrix) != 4:
        raise InputError(f"pose of camera {index}", f"{len(matrix)} rows", "a 4 x 4 matrix")
    return nearest_rigid(matrix, f"pose of camera {index}")


def _cameras(poses: list[np.ndarray], intrinsics: Tensor, width: int, height: int) -> list[Camera]:
    if intrinsics.shape != (len(poses), 3, 3) or width < 1 or height < 1:
        found = f"intrinsics of shape {tuple(intrinsics.shape)}, {width} x {height} pixels"
        raise InputError("cameras", found, f"shape ({len(poses)}, 3, 3) and a positive size")
    cameras = []
    for index, (pose, K) in enumerate(zip(poses, intrinsics.detach().cpu().float(), strict=True)):
        pinhole = torch.zeros(3, 3)
        pinhole[0, 0], pinhole[1, 1], pinhole[:2, 2], pinhole[2, 2] = K[0, 0], K[1, 1], K[:2, 2], 1.0
        if not torch.equal(K, pinhole) or min(K[0, 0], K[1, 1]) <= 0:
            expected = "fx, 0, cx; 0, fy, cy; 0, 0, 1 with positive focal lengths"
            raise InputError(f"intrinsics of camera {index}", K.tolist(), expected)
        cameras.append(Camera(pinhole, torch.from_numpy(pose).float(), width, height))
    return cameras
