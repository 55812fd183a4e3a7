"""Slow, obvious twins of `evaluate/uncertainty.py`: ranks by counting, ties by averaging over every possible order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

NUM_FRACTIONS = 100


def rank_by_counting(values: Sequence[float]) -> list[float]:
    """1 for the smallest; equal values share the mean of the places they take."""
    return [sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values]


def spearman_by_counting(a: Sequence[float], b: Sequence[float]) -> float:
    """Pearson's correlation of the ranks."""
    ranks_a, ranks_b = rank_by_counting(a), rank_by_counting(b)
    mean = (len(a) + 1) / 2
    covariance = sum((x - mean) * (y - mean) for x, y in zip(ranks_a, ranks_b, strict=True))
    spread_a, spread_b = (sum((x - mean) ** 2 for x in ranks) for ranks in (ranks_a, ranks_b))
    return covariance / math.sqrt(spread_a * spread_b)


def remaining_error_all_orders(key: Sequence[float], error: Sequence[float]) -> list[float]:
    """Mean error left after removing 0, 1, ..., 99 % of the pixels, over the mean of all: the average over all orders
    of the pixels that ascend in `key`."""
    n = len(key)
    orders = [p for p in itertools.permutations(range(n)) if all(key[i] <= key[j] for i, j in itertools.pairwise(p))]
    curve = []
    for percent in range(NUM_FRACTIONS):
        kept = n - percent * n // NUM_FRACTIONS
        left = [sum(error[i] for i in order[:kept]) / kept for order in orders]
        curve.append(sum(left) / len(left) / (sum(error) / n))
    return curve


def ause_all_orders(uncertainty: Sequence[float], error: Sequence[float]) -> float:
    """Area between the curve by uncertainty and the curve by error, by trapezoids."""
    curves = (remaining_error_all_orders(uncertainty, error), remaining_error_all_orders(error, error))
    gap = [a - b for a, b in zip(*curves, strict=True)]
    return sum((left + right) / 2 / NUM_FRACTIONS for left, right in itertools.pairwise(gap))


def reliability_loops(
    predicted_sq: Sequence[float], actual_sq: Sequence[float], num_bins: int
) -> list[tuple[float, float]]:
    """(predicted, actual) RMS error per group; the number of pixels must be a multiple of `num_bins`."""
    pairs = sorted(zip(predicted_sq, actual_sq, strict=True), key=lambda pair: pair[0])
    size = len(pairs) // num_bins
    groups = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    return [tuple(math.sqrt(sum(pair[side] for pair in g) / size) for side in (0, 1)) for g in groups]
