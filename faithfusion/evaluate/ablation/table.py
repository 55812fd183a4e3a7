"""The table of an ablation from the results of its streets: means, intervals, paired differences."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from faithfusion.distill.weights.registry import weight_of
from faithfusion.evaluate.ablation.config import BLIND, NO_REFINEMENT, Row, without_eig
from faithfusion.evaluate.ablation.intervals import Interval, mean_interval, overlap, paired_interval
from faithfusion.evaluate.metrics.registry import METRICS, metric_name

LANE = "lane"
LANE_METRICS = ("psnr_db", "ssim", "psnr_db all cameras", "ssim all cameras")
LANE_COMPARED = ("psnr_db", "psnr_db all cameras")
BASELINES = ("uniform", "released", "published_map")

Street = Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """Where clips are scored: "video" or "scene" at a distance to both sides in metres, or the recorded lane."""

    part: str
    distance_m: float = 0.0

    @property
    def title(self) -> str:
        """The place in words."""
        if self.part == LANE:
            return "Recorded lane, held-out frames"
        what = {"video": "repaired video", "scene": "distilled scene"}[self.part]
        return f"{self.distance_m:g} m to the side, {what}"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that are scored there."""
        if self.part == LANE:
            return LANE_METRICS
        return tuple(name for name, metric in METRICS.items() if metric.in_ablation)

    @property
    def compared(self) -> tuple[str, ...]:
        """The metrics whose paired differences are shown: those in dB as they are, the others in percent of what is
        compared with."""
        if self.part == LANE:
            return LANE_COMPARED
        return tuple(name for name in self.metrics if METRICS[name].is_compared)


def places(shifts_m: Iterable[float]) -> list[Place]:
    """Returns video and scene by distance, nearest first, then the recorded lane."""
    distances = sorted({abs(shift_m) for shift_m in shifts_m})
    return [Place(part, at) for at in distances for part in ("video", "scene")] + [Place(LANE)]


def values_of(streets: Sequence[Street], row: Row, place: Place, metric: str) -> list[float]:
    """Returns one value per street, the mean of both sides; NaN where it is missing or undefined."""
    values = []
    for street in streets:
        scores = street["rows"][row.key][place.part]
        sides = [scores] if place.part == LANE else _sides(scores, place.distance_m)
        numbers = [_number(side.get(metric)) for side in sides]
        values.append(sum(numbers) / len(numbers) if numbers else math.nan)
    return values


def _sides(scores: Mapping[str, Mapping[str, float]], distance_m: float) -> list[Mapping[str, float]]:
    return [side for name, side in scores.items() if abs(abs(float(name)) - distance_m) < 0.005]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def baselines_of(row: Row, rows: Sequence[Row]) -> list[Row]:
    """Returns what a row is compared with: no refinement, no EIG, and the other weights with the same editors and loop;
    another loop is compared with the usual one, not with no EIG."""
    if row == NO_REFINEMENT or row.is_blind:
        return [NO_REFINEMENT] if row.is_blind else []
    first = dataclasses.replace(row, loop="") if row.loop else without_eig(row.editors)
    others = [dataclasses.replace(row, weight=weight) for weight in BASELINES if weight != row.weight]
    return [NO_REFINEMENT, *(other for other in (first, *others) if other in rows)]


def has_other_video(row: Row) -> bool:
    """Whether the row's clip differs for another reason than who edits."""
    return row == NO_REFINEMENT or row.is_blind


def shown_rows(rows: Sequence[Row], place: Place) -> list[Row]:
    """Returns the rows that differ at a place: a repaired video does not depend on the weights of the distillation."""
    if place.part != "video":
        return list(rows)
    return list({row.editors: row for row in reversed(rows)}.values())[::-1]


def plain_table(streets: Sequence[Street], rows: Sequence[Row], shifts_m: Iterable[float]) -> dict[str, Any]:
    """Returns everything as JSON data: {place: {row: {metric: mean and interval, "against": {row: {metric:
    difference}}}}}."""
    return {place.title: {row.key: _plain_row(streets, rows, row, place) for row in rows} for place in places(shifts_m)}


def _plain_row(streets: Sequence[Street], rows: Sequence[Row], row: Row, place: Place) -> dict[str, Any]:
    means = {metric: mean_interval(values_of(streets, row, place, metric)) for metric in place.metrics}
    plain: dict[str, Any] = {metric: _plain(interval) for metric, interval in means.items()}
    plain["against"] = {
        other.key: {metric: _plain(difference_of(streets, row, other, place, metric)) for metric in place.compared}
        for other in baselines_of(row, rows)
    }
    return plain


def _plain(interval: Interval) -> dict[str, float | int | None]:
    return {name: value if math.isfinite(value) else None for name, value in vars(interval).items()}


def difference_of(streets: Sequence[Street], row: Row, other: Row, place: Place, metric: str) -> Interval:
    """Returns the paired difference of a row against another, in dB, or in percent of the other."""
    values, others = (values_of(streets, which, place, metric) for which in (row, other))
    return paired_interval(values, others, relative=not _in_db(metric))


def _in_db(metric: str) -> bool:
    return metric_name(metric).unit == "dB"


def markdown(streets: Sequence[Street], rows: Sequence[Row], shifts_m: Iterable[float], intro: str) -> str:
    """Returns the whole page: for every place the means, then the paired differences."""
    parts = [f"# Ablation\n\n{intro}\n"]
    for place in places(shifts_m):
        parts += [f"## {place.title}\n", _means(streets, shown_rows(rows, place), place)]
        parts += ["Paired differences:\n", _differences(streets, rows, place)]
    return "\n".join(parts)


def _means(streets: Sequence[Street], rows: Sequence[Row], place: Place) -> str:
    metrics = [m for m in place.metrics if any(math.isfinite(v) for v in values_of(streets, rows[0], place, m))]
    lines = [["weights", "editors", *(metric_name(metric).heading for metric in metrics)]]
    for row in rows:
        intervals = [mean_interval(values_of(streets, row, place, metric)) for metric in metrics]
        cells = [_mean_cell(metric, interval) for metric, interval in zip(metrics, intervals, strict=True)]
        lines.append([*_labels(row, place), *cells])
    return _table(lines)


def _mean_cell(metric: str, interval: Interval) -> str:
    name = metric_name(metric)
    shown = name.show(interval.mean)
    return f"{shown} ± {name.show(interval.half)}" if math.isfinite(interval.half) and shown != "identical" else shown


def _differences(streets: Sequence[Street], rows: Sequence[Row], place: Place) -> str:
    metrics = [m for m in place.compared if any(math.isfinite(v) for v in values_of(streets, rows[0], place, m))]
    head = ["weights", "editors", "against"]
    for metric in metrics:
        head += [f"{metric_name(metric).label} ({'dB' if _in_db(metric) else '%'})", "intervals"]
    lines = [head]
    for row in shown_rows(rows, place):
        for other in baselines_of(row, rows):
            if place.part == "video" and not has_other_video(other):
                continue
            cells = [cell for metric in metrics for cell in _difference_cells(streets, row, other, place, metric)]
            lines.append([*_labels(row, place), _against(other), *cells])
    return _table(lines)


def _difference_cells(streets: Sequence[Street], row: Row, other: Row, place: Place, metric: str) -> tuple[str, str]:
    difference = difference_of(streets, row, other, place, metric)
    if difference.count == 0:
        return "–", "–"
    decimals = 2 if _in_db(metric) else 1
    text = f"{difference.mean:+.{decimals}f}"
    if difference.count > 1:
        text += f" [{difference.low:+.{decimals}f}, {difference.high:+.{decimals}f}]"
    both = [mean_interval(values_of(streets, which, place, metric)) for which in (row, other)]
    return text, {None: "–", True: "overlap", False: "apart"}[overlap(*both)]


def labels_of(row: Row) -> tuple[str, str]:
    """Returns weights and editors of a row in words."""
    if not row.weight:
        return "no refinement", ""
    weight = "no EIG at all" if row.is_blind else weight_of(row.weight).label
    return f"{weight}; {row.loop}" if row.loop else weight, row.editors.removesuffix(BLIND)


def _labels(row: Row, place: Place) -> tuple[str, str]:
    weight, editors = labels_of(row)
    return ("any" if place.part == "video" and not has_other_video(row) else weight), editors


def _against(other: Row) -> str:
    return labels_of(other)[0]


def _table(lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * 2 + ["---:"] * (len(lines[0]) - 2)
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]]) + "\n"
