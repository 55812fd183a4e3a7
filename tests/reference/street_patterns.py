"""Slow twins of the street's filtered patterns: the average of many point samples over the pixel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def box_average(pattern: Callable[[np.ndarray], np.ndarray], x: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Mean of `pattern` over [x - footprint / 2, x + footprint / 2] from 4000 points."""
    offsets = (np.arange(4000) + 0.5) / 4000 - 0.5
    return pattern(x[:, None] + footprint[:, None] * offsets).mean(1)


def first_hit(corners: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> tuple[int, float]:
    """Nearest triangle on a ray and its distance, (-1, 0) for none; corners [F, 3, 3]; solves for (u, v, t)."""
    best, distance = -1, np.inf
    for face, (a, b, c) in enumerate(corners.astype(float)):
        matrix = np.stack([b - a, c - a, -direction], 1)
        if abs(np.linalg.det(matrix)) < 1e-12:
            continue
        u, v, t = np.linalg.solve(matrix, origin - a)
        if u >= 0 and v >= 0 and u + v <= 1 and 1e-9 < t < distance:
            best, distance = face, t
    return (best, distance) if best >= 0 else (-1, 0.0)
