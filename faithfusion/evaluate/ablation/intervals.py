"""Means over streets with 95 % intervals, plain and of paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """The mean of `count` values and the interval in which the mean of all streets lies with a probability of 95 %; NaN
    for one value."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return 0.5 * (self.high - self.low)


def mean_interval(values: Sequence[float]) -> Interval:
    """Returns Student's t interval of the finite values, mean +- t(0.975, n - 1) s / sqrt(n)."""
    finite = np.array([value for value in values if math.isfinite(value)], dtype=np.float64)
    if len(finite) == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(finite.mean())
    if len(finite) == 1:
        return Interval(mean, math.nan, math.nan, 1)
    factor = float(student.ppf(0.5 + CONFIDENCE / 2, len(finite) - 1))
    half = factor * float(finite.std(ddof=1)) / math.sqrt(len(finite))
    return Interval(mean, mean - half, mean + half, len(finite))


def paired_interval(values: Sequence[float], others: Sequence[float], *, relative: bool = False) -> Interval:
    """Returns the interval of `values - others`, street by street; `relative` gives it in percent of `others`."""
    pairs = zip(values, others, strict=True)
    if relative:
        return mean_interval([100.0 * (value - other) / other if other else math.nan for value, other in pairs])
    return mean_interval([value - other for value, other in pairs])


def overlap(first: Interval, second: Interval) -> bool | None:
    """Whether two intervals share a value; None if one of them comes from fewer than two streets."""
    if first.count < 2 or second.count < 2:
        return None
    return first.low <= second.high and second.low <= first.high
