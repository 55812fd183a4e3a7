"""Pixels of a frame, decoded on demand and undistorted when the camera's intrinsics file has distortion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.data.calibration import read_intrinsics
from faithfusion.types import Frame
from faithfusion.utils.errors import InputError
from faithfusion.utils.media import read_image, read_mask

MASK_THRESHOLD = 0.5


def load_image(frame: Frame) -> Float[Tensor, "h w 3"]:
    """The frame's colour in [0, 1], undistorted. InputError if the file is damaged or has changed its size."""
    return _undistort_frame(_require_size(read_image(frame.image_path), frame, frame.image_path), frame, "bilinear")


def load_sky_mask(frame: Frame) -> Bool[Tensor, "h w"] | None:
    """1 = sky; None if the clip has no sky mask for this frame."""
    return _load_mask(frame, frame.sky_mask_path)


def load_dynamic_mask(frame: Frame) -> Bool[Tensor, "h w"] | None:
    """1 = moving object; None if the clip has no dynamic mask for this frame."""
    return _load_mask(frame, frame.dynamic_mask_path)


def load_ego_mask(frame: Frame) -> Bool[Tensor, "h w"] | None:
    """1 = the recording vehicle itself; None if the clip has no ego mask for this camera."""
    return _load_mask(frame, frame.ego_mask_path)


def _load_mask(frame: Frame, path: Path | None) -> Bool[Tensor, "h w"] | None:
    if path is None:
        return None
    mask = _require_size(read_mask(path), frame, path)[..., None]
    return _undistort_frame(mask, frame, "nearest")[..., 0] > MASK_THRESHOLD


def _require_size(image: Tensor, frame: Frame, path: Path) -> Tensor:
    height, width = image.shape[:2]
    if (width, height) != (frame.camera.width, frame.camera.height):
        raise InputError(path, f"size {width}x{height}", f"{frame.camera.width}x{frame.camera.height}")
    return image


def _undistort_frame(image: Float[Tensor, "h w c"], frame: Frame, mode: str) -> Float[Tensor, "h w c"]:
    path = frame.image_path.parent.parent / "intrinsics" / f"{frame.camera_name}.txt"
    if not path.is_file():
        return image
    intrinsics, distortion = read_intrinsics(path)
    return undistort(image, intrinsics, distortion, mode=mode) if distortion.any() else image


def undistort(
    image: Float[Tensor, "h w c"], intrinsics: np.ndarray, distortion: np.ndarray, *, mode: str = "bilinear"
) -> Float[Tensor, "h w c"]:
    """The image a pinhole camera with the same `intrinsics` [3, 3] sees; edges repeat where the lens saw nothing.

    `distortion` = k1 k2 p1 p2 k3 of the Brown-Conrady model (OpenCV's order).
    """
    height, width = image.shape[:2]
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    source = distort_pixels(np.stack([u, v], -1), intrinsics, distortion)
    grid = torch.from_numpy(source / [width, height] * 2.0 - 1.0).to(image.dtype)
    batch = rearrange(image, "h w c -> 1 c h w")
    warped = F.grid_sample(batch, grid[None], mode=mode, padding_mode="border", align_corners=False)
    return rearrange(warped, "1 c h w -> h w c")


def distort_pixels(uv: np.ndarray, intrinsics: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """Where ideal pinhole pixels `uv` [..., 2] lie in the distorted image, pixels."""
    k1, k2, p1, p2, k3 = distortion
    focal, centre = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2]
    x, y = np.moveaxis((uv - centre) / focal, -1, 0)
    r2 = x * x + y * y
    radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
    x_distorted = x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x)
    y_distorted = y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y
    return np.stack([x_distorted, y_distorted], -1) * focal + centre
