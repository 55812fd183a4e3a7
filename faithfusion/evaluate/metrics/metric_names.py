"""Readable names, units and directions of the metrics, for tables read by people."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

COLUMN_LABELS = {"eig": "EIG", "alpha": "1 − alpha", "edit": "edited"}
EXACT_DB = 99.9
"""`psnr_db` is capped at 100 dB: above this two pictures are the same."""


@dataclass(frozen=True)
class MetricName:
    """How a metric is shown. `better` is None where neither more nor less is better by itself."""

    label: str
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    decimals: int = 3
    scale: float = 1.0  # shown value over stored value
    meaning: str = ""

    @property
    def heading(self) -> str:
        """Label, unit and the direction that is better."""
        arrow = {"higher": " ↑", "lower": " ↓", None: ""}[self.better]
        return self.label + (f" ({self.unit})" if self.unit else "") + arrow

    def show(self, value: float | None) -> str:
        """A value in the metric's unit; a dash where it is missing or undefined."""
        if value is None or not math.isfinite(value):
            return "–"
        if self.unit == "dB" and value > EXACT_DB:
            return "identical"
        return f"{value * self.scale:,.{self.decimals}f}"


def _psnr(label: str, meaning: str) -> MetricName:
    return MetricName(label, "dB", "higher", 2, meaning=meaning)


KNOWN_METRICS = {
    "psnr_db": _psnr("PSNR", "mean over frames"),
    "ssim": MetricName("SSIM", better="higher", meaning="11-pixel Gaussian window, mean over frames"),
    "mae": MetricName("Mean absolute error", better="lower", decimals=4, meaning="colours from 0 to 1"),
    "lpips": MetricName("LPIPS", better="lower"),
    "regenerated_psnr_db": _psnr("PSNR, regenerated region", "pixels whose expected error is above the threshold"),
    "regenerated_ssim": MetricName("SSIM, regenerated region", better="higher"),
    "regenerated_mae": MetricName("Mean absolute error, regenerated region", better="lower", decimals=4),
    "kept_mae": MetricName(
        "Mean absolute error, kept region", better="lower", decimals=4, meaning="all other pixels; should not grow"
    ),
    "mobilenet_distance": MetricName(
        "MobileNetV2 distance",
        better="lower",
        decimals=4,
        meaning="unit features of five stages of an ImageNet MobileNetV2, squared difference",
    ),
    "regenerated_mobilenet_distance": MetricName(
        "MobileNetV2 distance, regenerated region", better="lower", decimals=4
    ),
    "flicker": MetricName(
        "Warp error",
        better="lower",
        decimals=4,
        meaning="colour change of static points between neighbouring frames, colours from 0 to 1",
    ),
    "artefact_flicker": MetricName(
        "Warp error of the artefacts", better="lower", decimals=4, meaning="of the difference from the truth"
    ),
    "psnr_to_render_lowest_eig_decile_db": _psnr(
        "PSNR to the render, lowest EIG decile", "faithfulness to the last render where the scene is known best"
    ),
    "spearman": MetricName("Spearman correlation", better="higher", meaning="with the true absolute error"),
    "ause": MetricName(
        "AUSE", better="lower", meaning="area between the sparsification curves, error over its mean; 0 is perfect"
    ),
    "spearman_without_sky": MetricName("Spearman correlation, without sky", better="higher"),
    "ause_without_sky": MetricName("AUSE, without sky", better="lower"),
    "regenerated_share": MetricName("Regenerated pixels", "%", decimals=1, scale=100.0),
    "covered_error_share": MetricName(
        "True error inside the regenerated region", "%", decimals=1, scale=100.0, meaning="share of the absolute error"
    ),
    "frames": MetricName("Frames", decimals=0),
}


def metric_name(key: str) -> MetricName:
    """The name of a metric. A key may carry a qualifier after a space, "psnr_db camera 0"; unknown keys are shown as
    they are, without a direction."""
    name, _, qualifier = key.partition(" ")
    if key in KNOWN_METRICS:
        return KNOWN_METRICS[key]
    if name in KNOWN_METRICS:
        known = KNOWN_METRICS[name]
        return dataclasses.replace(known, label=f"{known.label}, {qualifier}", meaning="")
    label = key.replace("_", " ")
    return MetricName(label[:1].upper() + label[1:])


def metric_rank(key: str) -> int:
    """Place of a metric in a table: known ones in their usual order, then all others."""
    order = list(KNOWN_METRICS)
    name = key if key in KNOWN_METRICS else key.partition(" ")[0]
    return order.index(name) if name in KNOWN_METRICS else len(order)
