"""How well an uncertainty map knows the error: rank correlation, sparsification, reliability, coverage.

All functions take flat NumPy arrays, one value per pixel. Pixels of equal uncertainty share their mean error, so no
result depends on the order of the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from faithfusion.evaluate.metrics.metric import MetricName
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator

CURVE_POINTS = 100
MAX_POINTS = 400_000
"""Pixels of a clip that are ranked; more change no third digit."""
SKY_ALPHA = 0.5
"""Where no truth says what is sky, pixels the render covers less than this."""


@dataclass(frozen=True)
class Sparsification:
    """The mean error of the pixels that are left when the most uncertain fraction is removed, over the mean error of
    all."""

    removed_fraction: Float[np.ndarray, " k"]
    curve: Float[np.ndarray, " k"]  # removing by uncertainty
    oracle: Float[np.ndarray, " k"]  # removing by the error itself
    ause: float  # area between the two


@dataclass(frozen=True)
class Reliability:
    """Predicted against actual root-mean-square error in groups of equally many pixels, smallest prediction first."""

    predicted_rms: Float[np.ndarray, " b"]
    actual_rms: Float[np.ndarray, " b"]


def subsample(*arrays: np.ndarray, max_points: int = MAX_POINTS, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Returns the same `max_points` randomly chosen entries of all arrays, flattened; all entries if there
    are fewer."""
    flat = tuple(np.asarray(array).reshape(-1) for array in arrays)
    if flat[0].size <= max_points:
        return flat
    chosen = torch.randint(flat[0].size, (max_points,), generator=make_generator(seed, "subsample")).numpy()
    return tuple(array[chosen] for array in flat)


def spearman(uncertainty: Float[np.ndarray, ...], error: Float[np.ndarray, ...]) -> float:
    """Returns Spearman's rank correlation with mean ranks for ties; NaN if either side is constant."""
    _require_pairs(uncertainty, error)
    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (uncertainty, error))
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 0 else float("nan")


def sparsification(uncertainty: Float[np.ndarray, ...], error: Float[np.ndarray, ...]) -> Sparsification:
    """Returns the sparsification curves at removed fractions 0, 0.01, ..., 0.99 and the area between them (AUSE).

    Ilg et al., "Uncertainty Estimates and Multi-Hypotheses Networks for Optical Flow", ECCV 2018, with the error
    normalised by its mean. An area of 0 is perfect; random uncertainty gives 1 minus the oracle's area. All values are
    zero if there is no error.
    """
    _require_pairs(uncertainty, error)
    fractions = np.arange(CURVE_POINTS) / CURVE_POINTS
    curve = _remaining_error(uncertainty, error, fractions)
    oracle = _remaining_error(error, error, fractions)
    return Sparsification(fractions, curve, oracle, float(np.trapezoid(curve - oracle, fractions)))


def _remaining_error(key: np.ndarray, error: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    ascending = _share_over_ties(key, error)[np.argsort(key)]  # most certain first
    kept_mean = np.cumsum(ascending) / np.arange(1, key.size + 1)
    num_kept = key.size - np.floor(fractions * key.size).astype(int)
    mean = kept_mean[-1]
    return kept_mean[num_kept - 1] / mean if mean > 0 else np.zeros_like(fractions)


def _share_over_ties(key: np.ndarray, values: np.ndarray) -> np.ndarray:
    _, group, counts = np.unique(key, return_inverse=True, return_counts=True)
    return (np.bincount(group, weights=values.astype(np.float64)) / counts)[group]


def reliability(
    predicted_sq_error: Float[np.ndarray, ...], sq_error: Float[np.ndarray, ...], *, num_bins: int = 10
) -> Reliability:
    """Groups pixels by predicted squared error and compares with the squared error that occurred.

    An isotonic calibration predicts the same error for many pixels; where a group's border cuts through them, both
    groups get their mean.
    """
    _require_pairs(predicted_sq_error, sq_error)
    sq_error = _share_over_ties(predicted_sq_error, sq_error)
    groups = np.array_split(np.argsort(predicted_sq_error), min(num_bins, predicted_sq_error.size))
    predicted, actual = (
        np.array([np.sqrt(values[group].mean(dtype=np.float64)) for group in groups])
        for values in (predicted_sq_error, sq_error)
    )
    return Reliability(predicted, actual)


def covered_error_share(error: Float[np.ndarray, "*shape"], region: Bool[np.ndarray, "*shape"]) -> float:
    """Returns the share of the total error that lies inside `region`; NaN without any error."""
    total = error.sum(dtype=np.float64)
    return float(error[region].sum(dtype=np.float64) / total) if total > 0 else float("nan")


def _require_pairs(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise InputError("uncertainty and error", f"shapes {a.shape} and {b.shape}", "two flat arrays of equal length")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("uncertainty and error", "NaN or infinite values", "finite numbers")


UNCERTAINTY_NAMES = {
    "spearman": MetricName(label="Spearman correlation", better="higher", meaning="with the true absolute error"),
    "ause": MetricName(
        label="AUSE",
        better="lower",
        meaning="area between the sparsification curves, error over its mean; 0 is perfect",
    ),
    "spearman_without_sky": MetricName(label="Spearman correlation, without sky", better="higher"),
    "ause_without_sky": MetricName(label="AUSE, without sky", better="lower"),
    "regenerated_share": MetricName(label="Regenerated pixels", unit="%", decimals=1, scale=100.0),
    "covered_error_share": MetricName(
        label="True error inside the regenerated region",
        unit="%",
        decimals=1,
        scale=100.0,
        meaning="share of the absolute error",
    ),
    "frames": MetricName(label="Frames", decimals=0),
}
"""How the figures of uncertainty maps are shown, and beside them what is counted."""
