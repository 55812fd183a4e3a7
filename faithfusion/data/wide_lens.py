"""Lenses beyond the five coefficients of Brown-Conrady, and how far from the axis a lens shows anything.

Rays are given by their place [..., 2] on the plane z = 1, distorted ones as the pixel minus the principal point over
the focal length. Models: COLMAP, src/colmap/sensor/models.h (OPENCV_FISHEYE, FULL_OPENCV), which are OpenCV's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

LARGEST_RADIUS = 20.0
"""Of a pinhole picture: 87 degrees from the axis."""


@dataclass(frozen=True)
class WideLens:
    """A lens that pictures must be freed from before they belong to a drive.

    Attributes:
        kind: "fisheye" is equidistant, its polynomial is one of the angle; "rational" has a denominator.
        coefficients: k1 k2 k3 k4 of a fisheye; k1 k2 p1 p2 k3 k4 k5 k6 of a rational lens.
    """

    kind: Literal["fisheye", "rational"]
    coefficients: tuple[float, ...]

    def distort(self, rays: np.ndarray) -> np.ndarray:
        """Where the lens puts `rays` [..., 2]."""
        if self.kind == "rational":
            return distort_rational(rays, self.coefficients)
        radius = np.linalg.norm(rays, axis=-1, keepdims=True)
        angle = np.arctan(radius)
        k1, k2, k3, k4 = self.coefficients
        square = angle * angle
        bent = angle * (1.0 + square * (k1 + square * (k2 + square * (k3 + square * k4))))
        return rays * np.where(radius > 0.0, bent / np.where(radius > 0.0, radius, 1.0), 1.0)


def distort_rational(rays: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """OpenCV's model with k1 k2 p1 p2 k3 and, where they are given, k4 k5 k6 in the denominator."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, 0.0, 0.0, 0.0)[:8]
    x, y = np.moveaxis(rays, -1, 0)
    r2 = x * x + y * y
    radial = (1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1.0 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    bent_x = x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x)
    bent_y = y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y
    return np.stack([bent_x, bent_y], -1)


def reach(lens: WideLens) -> float:
    """The radius on the plane z = 1 up to which farther rays lie farther out; beyond it the polynomial is no lens."""
    radius = np.linspace(0.0, LARGEST_RADIUS, 4001)
    coefficients = lens.coefficients if lens.kind == "fisheye" else _without_tangential(lens.coefficients)
    rays = np.stack([radius, np.zeros_like(radius)], -1)
    bent = WideLens(lens.kind, coefficients).distort(rays)[:, 0]
    turning = np.flatnonzero(~(np.diff(bent) > 0.0))
    return float(radius[turning[0]]) if len(turning) else float("inf")


def _without_tangential(coefficients: tuple[float, ...]) -> tuple[float, ...]:
    return (*coefficients[:2], 0.0, 0.0, *coefficients[4:])
