"""Finds frames in the wrong order: two neighbours that lie on a clearly shorter way when they are exchanged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

REACH = 10  # frames to either side from which is learned how pictures of this drive differ
LAGS = 3  # of so many frames distance the differences are compared
BELIEVED_SHARE = 0.8  # an exchange must leave less than this share of the misfit


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


def fit_better_exchanged(values: Sequence[Float[np.ndarray, "t a b"]], first: int) -> bool:
    """Whether frames `first` and `first + 1` lie among their neighbours as frames of this drive do only when they are
    exchanged; `values` are the pictures of one or more cameras.

    How much pictures differ after 1, 2, ... frames is learned from the other frames around. Where facades repeat, the
    second next may look more like a picture than the next; then it does so for the frames in doubt, too.
    """
    errors = np.zeros(2)
    for series in values:
        low, high = max(0, first - REACH), min(len(series), first + 2 + REACH)
        others = [t for t in range(low, high) if t not in (first, first + 1)]
        usual = {}
        for lag in range(1, LAGS + 2):
            seen = [_difference(series[t], series[t + lag]) for t in others if t + lag in others]
            if seen:
                usual[lag] = float(np.median(seen))
        for t in others:
            for frame, other in ((first, first + 1), (first + 1, first)):
                lags = abs(frame - t), abs(other - t)
                if max(lags) <= LAGS + 1 and all(lag in usual for lag in lags):
                    found = _difference(series[frame], series[t])
                    errors += [abs(found - usual[lag]) for lag in lags]
    return bool(errors[1] < BELIEVED_SHARE * errors[0])


def _difference(one: Float[np.ndarray, "a b"], two: Float[np.ndarray, "a b"]) -> float:
    return float(np.abs(one - two).mean())
