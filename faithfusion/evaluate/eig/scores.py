"""Uncertainty maps against the true error of one scene at one shift, all maps on the same pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.evaluate.metrics.uncertainty import (
    covered_error_share,
    reliability,
    sparsification,
    spearman,
    subsample,
)

OURS = "EIG"
FISHER_GAIN, FISHER_SEEN = "FisherRF, gain", "FisherRF, code's map"


@dataclass(frozen=True)
class ViewMaps:
    """Everything known about one rendered view: what each method thinks of its pixels, and how wrong they are."""

    render: Float[Tensor, "h w 3"]
    truth: Float[Tensor, "h w 3"]
    uncertainty: Mapping[str, Float[Tensor, "h w"]]  # by method, larger = less certain; only the order counts
    expected_sq_error: Float[Tensor, "h w"]  # calibrated V, per channel
    error: Float[Tensor, "h w"]  # mean over channels of |render - truth|
    sq_error: Float[Tensor, "h w"]
    is_sky: Bool[Tensor, "h w"]


@dataclass(frozen=True)
class ShiftScores:
    """Scores of one scene at one shift. `curves`: remaining error when the most uncertain pixels go first, by method,
    with the oracle's; `*_rms`: predicted and actual RMS error in deciles of the prediction, lowest first."""

    scene: str
    shift_m: float
    methods: dict[str, dict[str, float]]
    curves: dict[str, list[float]]
    predicted_rms: list[float]
    actual_rms: list[float]
    marked_share: float  # of the pixels, above the default threshold
    covered_error_share: float  # of the summed absolute error, inside them
    render_mae: float


def score_shift(scene: str, shift_m: float, views: Sequence[ViewMaps], regenerate_rms: float) -> ShiftScores:
    """Pools the pixels of `views` and scores every method; "without sky" leaves out pixels whose truth is sky.

    `regenerate_rms`: the expected RMS error above which a pixel counts as to be regenerated.
    """
    error, sq_error = _pool([view.error for view in views]), _pool([view.sq_error for view in views])
    expected = _pool([view.expected_sq_error for view in views])
    solid = ~_pool([view.is_sky for view in views])
    methods, curves = {}, {}
    for name in views[0].uncertainty:
        score = _pool([view.uncertainty[name] for view in views])
        pairs = subsample(score, error)
        sparse = sparsification(*pairs)
        methods[name] = {"spearman": spearman(*pairs), "ause": sparse.ause}
        curves[name], curves["oracle"] = sparse.curve.tolist(), sparse.oracle.tolist()
        if solid.sum() > 0:
            pairs = subsample(score[solid], error[solid])
            methods[name] |= {"spearman_without_sky": spearman(*pairs), "ause_without_sky": sparsification(*pairs).ause}
    deciles = reliability(*subsample(expected, sq_error))
    marked = expected > regenerate_rms**2
    return ShiftScores(
        scene=scene,
        shift_m=shift_m,
        methods=methods,
        curves=curves,
        predicted_rms=deciles.predicted_rms.tolist(),
        actual_rms=deciles.actual_rms.tolist(),
        marked_share=float(marked.mean()),
        covered_error_share=covered_error_share(error, marked),
        render_mae=float(error.mean()),
    )


def mean_scores(rows: Sequence[ShiftScores]) -> dict[str, dict[str, float]]:
    """Mean of every method's scores over scenes and shifts."""
    return {
        method: {key: float(np.mean([row.methods[method][key] for row in rows])) for key in rows[0].methods[method]}
        for method in rows[0].methods
    }


def worst_decile_deviation(row: ShiftScores, num_deciles: int = 5) -> float:
    """Largest |predicted / actual - 1| of the RMS error among the `num_deciles` most uncertain deciles."""
    predicted, actual = np.array(row.predicted_rms[-num_deciles:]), np.array(row.actual_rms[-num_deciles:])
    return float(np.abs(predicted / actual - 1.0).max())


def _pool(images: Sequence[Tensor]) -> np.ndarray:
    return torch.stack(list(images)).flatten().cpu().numpy()
