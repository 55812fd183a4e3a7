"""What a metric is: how it is shown, and how it is computed of a clip."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from faithfusion.evaluate.metrics.scored_clip import ScoredClip

EXACT_DB = 99.9
"""`psnr_db` is capped at 100 dB: above this two pictures are the same."""


@dataclass(frozen=True, kw_only=True)
class MetricName:
    """How a metric is shown to people.

    Attributes:
        label: its name in tables.
        unit: what its values are in, as shown; empty for a plain number.
        better: which direction is better; None where neither is by itself.
        decimals: digits after the point.
        scale: the shown value over the stored one.
        meaning: a short explanation below the label.
    """

    label: str
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    decimals: int = 3
    scale: float = 1.0
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


@dataclass(frozen=True, kw_only=True)
class Metric(MetricName):
    """A metric of clips.

    Attributes:
        of: the value of one clip; NaN where it is undefined.
        needs: fields of `scored_clip.Target` without which it is left out.
        in_report: whether the report of a run shows it.
        in_ablation: whether the tables of the ablation show it.
        is_compared: whether the ablation also shows its paired differences between rows.
    """

    of: Callable[[ScoredClip], float]
    needs: tuple[str, ...] = ("truth",)
    in_report: bool = True
    in_ablation: bool = True
    is_compared: bool = False
