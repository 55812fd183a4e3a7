"""Lens distortion, undone once: where every pixel of the pinhole image lies in the recorded one.

The pinhole image has the size and the intrinsics K of the recorded image, so K, masks and everything computed from them
hold for both. Its corners may show directions that the lens never saw; `LensMap.seen` says which pixels are real.
Model: Brown-Conrady, coefficients in OpenCV's order k1 k2 p1 p2 k3.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.data.calibration_text import read_intrinsics

REAL_ROOT = 1e-9


@dataclass(frozen=True)
class LensMap:
    """Where one camera's pinhole pixels lie in its recorded image.

    Attributes:
        grid: Those places as `torch.nn.functional.grid_sample` wants them, in [-1, 1].
        seen: Which pixels of the pinhole image the lens saw; None if it saw all of them.
    """

    grid: Float[Tensor, "h w 2"]
    seen: Bool[Tensor, "h w"] | None


def lens_map(path: Path, width: int, height: int) -> LensMap | None:
    """The map of the camera whose intrinsics file is `path`; None if the file has no distortion or does not exist.

    Computed once per file and size. InputError for a damaged file.
    """
    return _lens_map(path, path.stat().st_mtime_ns, width, height) if path.is_file() else None


@functools.lru_cache(maxsize=16)
def _lens_map(path: Path, _modified_ns: int, width: int, height: int) -> LensMap | None:
    intrinsics, distortion = read_intrinsics(path)
    return make_lens_map(intrinsics, distortion, width, height) if distortion.any() else None


def make_lens_map(intrinsics: np.ndarray, distortion: np.ndarray, width: int, height: int) -> LensMap:
    """The map of a camera with `intrinsics` [3, 3] in pixels and `distortion` [5]."""
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    ideal = np.stack([u, v], -1)
    source = distort_pixels(ideal, intrinsics, distortion)
    grid = torch.from_numpy(source / [width, height] * 2.0 - 1.0).float()
    rays = (ideal - intrinsics[:2, 2]) / intrinsics[[0, 1], [0, 1]]
    inside = ((source >= 0) & (source <= [width, height])).all(-1) & ((rays**2).sum(-1) < largest_r2(distortion))
    return LensMap(grid, None if inside.all() else torch.from_numpy(inside))


def remap(image: Float[Tensor, "h w c"], grid: Float[Tensor, "h w 2"], *, mode: str) -> Float[Tensor, "h w c"]:
    """The pinhole image; its edges repeat where the lens saw nothing. `mode` is "bilinear" or "nearest"."""
    batch = rearrange(image, "h w c -> 1 c h w")
    warped = F.grid_sample(batch, grid[None].to(image), mode=mode, padding_mode="border", align_corners=False)
    return rearrange(warped, "1 c h w -> h w c")


def distort_pixels(uv: np.ndarray, intrinsics: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """The pixels [..., 2] of the distorted image at which the ideal pinhole pixels `uv` [..., 2] lie."""
    k1, k2, p1, p2, k3 = distortion
    focal, centre = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2]
    x, y = np.moveaxis((uv - centre) / focal, -1, 0)
    r2 = x * x + y * y
    radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
    x_distorted = x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x)
    y_distorted = y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y
    return np.stack([x_distorted, y_distorted], -1) * focal + centre


def largest_r2(distortion: np.ndarray) -> float:
    """Squared tangent of the angle from the axis up to which the polynomial is a lens: beyond it the distorted radius
    r (1 + k1 r^2 + k2 r^4 + k3 r^6) shrinks again and far directions fall back into the image."""
    k1, k2, _, _, k3 = distortion
    roots = np.roots([7.0 * k3, 5.0 * k2, 3.0 * k1, 1.0])
    turning = roots.real[(np.abs(roots.imag) < REAL_ROOT) & (roots.real > 0)]
    return float(turning.min()) if len(turning) else np.inf


def undistort_pixels(
    uv: np.ndarray, intrinsics: np.ndarray, distortion: np.ndarray, *, tolerance_px: float = 1e-7, steps: int = 50
) -> np.ndarray:
    """Inverse of `distort_pixels`: a fixed-point iteration adds to each guess [..., 2] what it misses."""
    ideal = uv
    for _ in range(steps):
        missed = uv - distort_pixels(ideal, intrinsics, distortion)
        ideal = ideal + missed
        if np.abs(missed).max() < tolerance_px:
            break
    return ideal
