"""The metrics by name. A new one is a `Metric` in a file of its own and a line in `METRICS`: report and ablation show
what is listed here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from faithfusion.evaluate.metrics.flicker import ARTEFACT_FLICKER, FLICKER
from faithfusion.evaluate.metrics.image_scores import (
    KEPT_MAE,
    MAE,
    PSNR,
    REGENERATED_MAE,
    REGENERATED_PSNR,
    REGENERATED_SSIM,
    SSIM,
    TO_RENDER,
)
from faithfusion.evaluate.metrics.metric import Metric, MetricName
from faithfusion.evaluate.metrics.mobilenet_distance import DISTANCE, REGENERATED_DISTANCE
from faithfusion.evaluate.metrics.scored_clip import ScoredClip, Target
from faithfusion.evaluate.metrics.uncertainty import UNCERTAINTY_NAMES

METRICS: dict[str, Metric] = {
    "psnr_db": PSNR,
    "ssim": SSIM,
    "mae": MAE,
    "regenerated_psnr_db": REGENERATED_PSNR,
    "regenerated_ssim": REGENERATED_SSIM,
    "regenerated_mae": REGENERATED_MAE,
    "kept_mae": KEPT_MAE,
    "mobilenet_distance": DISTANCE,
    "regenerated_mobilenet_distance": REGENERATED_DISTANCE,
    "flicker": FLICKER,
    "artefact_flicker": ARTEFACT_FLICKER,
    "psnr_to_render_lowest_eig_decile_db": TO_RENDER,
}
"""Metrics of clips, in the order in which tables show them."""


def clip_scores(
    video: Float[Tensor, "t h w 3"], target: Target, metrics: Mapping[str, Metric] = METRICS
) -> dict[str, float]:
    """Returns every metric for which the target has what it needs. Raises InputError for a clip of another shape."""
    clip = ScoredClip(video, target)
    return {
        name: metric.of(clip)
        for name, metric in metrics.items()
        if all(getattr(target, need) is not None for need in metric.needs)
    }


def metric_name(key: str) -> MetricName:
    """Returns how the values of a key are shown. A key may carry a qualifier after a space, as "psnr_db camera 0";
    unknown keys are shown as they are, without a direction."""
    name, _, qualifier = key.partition(" ")
    known: dict[str, MetricName] = {**METRICS, **UNCERTAINTY_NAMES}
    if key in known:
        return known[key]
    if name in known:
        return dataclasses.replace(known[name], label=f"{known[name].label}, {qualifier}", meaning="")
    label = key.replace("_", " ")
    return MetricName(label=label[:1].upper() + label[1:])


def metric_rank(key: str) -> int:
    """Returns the place of a metric in a table: known ones come in their usual order, then all others."""
    order = [*METRICS, *UNCERTAINTY_NAMES]
    name = key if key in order else key.partition(" ")[0]
    return order.index(name) if name in order else len(order)
