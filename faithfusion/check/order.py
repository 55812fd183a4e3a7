"""Finds frames in the wrong order: two neighbours that lie on a clearly shorter way when they are exchanged."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def exchanged(values: Float[np.ndarray, "t a b"], ratio: float) -> Bool[np.ndarray, " t"]:
    """Marks frames i and i + 1 if the way from i - 1 to i + 2 is shorter than `ratio` of itself with them exchanged."""
    marks = np.zeros(len(values), dtype=bool)
    if len(values) < 4:
        return marks
    a, b, c, d = (values[i : len(values) - 3 + i] for i in range(4))
    way = _distance(a, b) + _distance(b, c) + _distance(c, d)
    found = _distance(a, c) + _distance(c, b) + _distance(b, d) < ratio * way
    marks[1:-2] |= found
    marks[2:-1] |= found
    return marks


def moves_around(steps: Float[np.ndarray, " t_minus_1"], least: float) -> Bool[np.ndarray, " t"]:
    """Frames whose steps to both neighbours are longer than `least`; the ends have one neighbour."""
    moving = steps > least
    return np.append(True, moving) & np.append(moving, True)


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a - b).mean((1, 2))
