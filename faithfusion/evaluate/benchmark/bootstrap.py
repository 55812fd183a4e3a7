"""Intervals over resampled drives and frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

NUM_RESAMPLINGS = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Clip:
    """The numbers of the frames of one clip, whose value is sum(part) / sum(whole)."""

    part: Float[np.ndarray, " t"]
    whole: Float[np.ndarray, " t"]


@dataclass(frozen=True)
class Estimate:
    """A value and the interval in which it lies with a probability of 95 %; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


def clip_of(part: Sequence[float | None], whole: Sequence[float | None] | None = None) -> Clip:
    """Returns the numbers of a clip; without `whole` every frame counts the same. Frames without a number count 0."""
    parts = np.array([math.nan if value is None else value for value in part], dtype=np.float64)
    wholes = np.ones_like(parts) if whole is None else np.array([value or 0.0 for value in whole], dtype=np.float64)
    is_there = np.isfinite(parts)
    return Clip(np.where(is_there, parts, 0.0), np.where(is_there, wholes, 0.0))


def estimate(clips: Sequence[Clip], seed: int = 0) -> Estimate:
    """Returns the mean over clips of their values, with a percentile interval.

    Clips are drawn with replacement, and in each clip that is drawn its frames. Clips whose `whole` is 0 say nothing.
    Neighbouring frames are alike, and few clips say little of others: the true uncertainty is larger.
    """
    telling = [clip for clip in clips if clip.whole.sum() > 0]
    if not telling:
        return Estimate(math.nan)
    value = float(np.mean([clip.part.sum() / clip.whole.sum() for clip in telling]))
    draws = _resampled(telling, np.random.default_rng(seed))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def _resampled(clips: Sequence[Clip], chance: np.random.Generator) -> Float[np.ndarray, " n"]:
    """The mean of resampled clips of resampled frames, so often."""
    drawn = chance.integers(len(clips), size=(NUM_RESAMPLINGS, len(clips)))
    values = np.full(drawn.shape, np.nan)
    for number, clip in enumerate(clips):
        is_drawn = drawn == number
        frames = chance.integers(len(clip.part), size=(int(is_drawn.sum()), len(clip.part)))
        parts, wholes = clip.part[frames].sum(1), clip.whole[frames].sum(1)
        values[is_drawn] = np.divide(parts, wholes, out=np.full_like(parts, np.nan), where=wholes > 0)
    counts = np.isfinite(values).sum(1)
    sums = np.nansum(values, 1)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
