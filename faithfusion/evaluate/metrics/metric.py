"""What a metric is: how it is shown, and how it is computed of a clip."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from faithfusion.evaluate.metrics.scored_clip import ScoredClip, Target
from faithfusion.utils.errors import InputError

EXACT_DB = 99.9
"""`psnr_db` is capped at 100 dB: above this two pictures are the same."""


@dataclass(frozen=True, kw_only=True)
class MetricName:
    """How a metric is shown to people.

    Attributes:
        label: The name of the metric in tables.
        unit: The unit of the values as shown; empty for plain numbers.
        better: The direction that is better; None where neither is better by itself.
        decimals: The number of digits after the point.
        scale: The shown value over the stored one.
        meaning: A short explanation below the label.
    """

    label: str
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    decimals: int = 3
    scale: float = 1.0
    meaning: str = ""

    @property
    def heading(self) -> str:
        """The label with the unit and an arrow in the direction that is better."""
        arrow = {"higher": " ↑", "lower": " ↓", None: ""}[self.better]
        return self.label + (f" ({self.unit})" if self.unit else "") + arrow

    def show(self, value: float | None) -> str:
        """Returns a value in the metric's unit; a dash where it is missing or undefined."""
        if value is None or not math.isfinite(value):
            return "–"
        if self.unit == "dB" and value > EXACT_DB:
            return "identical"
        return f"{value * self.scale:,.{self.decimals}f}"


@dataclass(frozen=True, kw_only=True)
class Metric(MetricName):
    """A metric of clips.

    Raises InputError for `needs` that no clip can have.

    Attributes:
        of: Computes the value of one clip; NaN where it is undefined.
        needs: Fields of `scored_clip.Target`. The metric is left out where one of them is None.
        in_report: The report of a run shows the metric.
        in_ablation: The tables of the ablation show the metric.
        is_compared: The ablation also shows the paired differences between rows.
    """

    of: Callable[[ScoredClip], float]
    needs: tuple[str, ...] = ("truth",)
    in_report: bool = True
    in_ablation: bool = True
    is_compared: bool = False

    def __post_init__(self) -> None:
        known = [field.name for field in dataclasses.fields(Target)]
        unknown = [self.needs] if isinstance(self.needs, str) else [name for name in self.needs if name not in known]
        if unknown:
            raise InputError(f"metric {self.label!r}", f"needs = {self.needs!r}", f"a tuple of {', '.join(known)}")
