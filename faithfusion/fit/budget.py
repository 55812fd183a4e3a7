"""A hard ceiling on the memory of a fit, kept by a ceiling on the number of Gaussians.

A fit holds its libraries, the cache of views, one step's images and, per Gaussian, the parameters with their gradient
and Adam's two moments and what one step of projection and blending needs. `python tools/bench.py memory` measures it.
"""

from __future__ import annotations

from faithfusion.utils.errors import InputError

BASE_BYTES = 1_000_000_000
"""Interpreter, torch, Warp and its kernels."""
STEP_BYTES_PER_PIXEL = 1_000
"""Images of one step: render, target, SSIM windows, gradients, tile lists."""
STEP_BYTES_PER_GAUSSIAN = 700
"""Screen-space parameters of one step and their gradients; measured 920 B with the stored 224 B of diffuse colour."""
GEOMETRY_NUMBERS = 11
"""Mean, quaternion, scales, opacity."""
FEWEST_GAUSSIANS = 1_000
GIB = 1024**3


def bytes_per_gaussian(num_coefficients: int) -> int:
    """Of a Gaussian with that many colour coefficients per channel, at the peak of a step."""
    stored_numbers = 4 * (GEOMETRY_NUMBERS + 3 * num_coefficients)  # parameter, gradient, two moments
    return STEP_BYTES_PER_GAUSSIAN + 4 * stored_numbers


def affordable_gaussians(max_memory_gib: float, num_pixels: int, cache_mb: int, num_coefficients: int) -> int:
    """How many Gaussians a fit may have within `max_memory_gib`, with images of `num_pixels`.

    Raises InputError if there is not even room for a handful.
    """
    fixed = BASE_BYTES + STEP_BYTES_PER_PIXEL * num_pixels + cache_mb * 1_000_000
    affordable = int((max_memory_gib * GIB - fixed) / bytes_per_gaussian(num_coefficients))
    if affordable < FEWEST_GAUSSIANS:
        least_gib = (fixed + FEWEST_GAUSSIANS * bytes_per_gaussian(num_coefficients)) / GIB
        expected = f"at least {least_gib:.1f} GiB for images of {num_pixels} pixels and a cache of {cache_mb} MB"
        raise InputError("max_memory_gib", max_memory_gib, expected)
    return affordable
