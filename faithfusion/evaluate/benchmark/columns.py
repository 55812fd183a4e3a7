"""The columns of the table: what is kept of every frame, and how a value of many frames is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from faithfusion.evaluate.metrics.flicker import FLICKER
from faithfusion.evaluate.metrics.image_scores import PSNR, SSIM
from faithfusion.evaluate.metrics.metric import MetricName
from faithfusion.evaluate.metrics.mobilenet_distance import DISTANCE

Frames = dict[str, list[float]]
"""What is kept of the frames of one clip: one number per frame for every name in a column's `part` and `whole`."""


@dataclass(frozen=True)
class Column:
    """A value of a clip is sum(part) / sum(whole) over its frames, or the mean of `part` without `whole`; that of
    several drives is the mean of theirs. `in_table`: benchmark.json has the others, too."""

    name: MetricName
    part: str
    whole: str = ""
    in_table: bool = True


def _agents(label: str, part: str, whole: str, *, in_table: bool = True) -> Column:
    return Column(MetricName(label=label, better="higher"), f"agents {part}", f"agents {whole}", in_table)


def _lanes(label: str, part: str, whole: str = "", *, in_table: bool = True) -> Column:
    name = MetricName(label=label, better="higher", decimals=2, scale=100.0 if whole else 1.0)
    return Column(name, f"lanes {part}", f"lanes {whole}" if whole else "", in_table)


COLUMNS: dict[str, Column] = {
    "psnr_db": Column(PSNR, "psnr_db"),
    "ssim": Column(SSIM, "ssim"),
    "mobilenet_distance": Column(DISTANCE, "mobilenet_distance"),
    "flicker": Column(FLICKER, "flicker_sum", "flicker_pixels"),
    "nta_iou": _agents("NTA-IoU", "iou", "references"),
    "nta_iou_visible": _agents("NTA-IoU, visible", "visible_iou", "visible_references", in_table=False),
    "nta_iou_single": _agents("NTA-IoU, one detection each", "single_iou", "references", in_table=False),
    "matched_iou": _agents("Matched IoU", "matched_iou", "seen"),
    "recall": _agents("Recall", "hits", "seen"),
    "precision": _agents("Precision", "hits", "detections"),
    "ntl_iou": _lanes("NTL-IoU", "ntl_iou"),
    "ntl_iou_nothing_found": _lanes("NTL-IoU if nothing is found", "ntl_iou_nothing_found", in_table=False),
    "lane_iou": _lanes("Lane IoU", "seen_shared", "seen_union"),
    "lane_recall": _lanes("Lane recall", "seen_shared", "seen_reference", in_table=False),
    "lane_precision": _lanes("Lane precision", "seen_shared", "seen_detected", in_table=False),
}


def has_column(frames: Mapping[str, list[float]], column: Column) -> bool:
    """Whether the frames of a clip have what a column is made of."""
    return column.part in frames and (not column.whole or column.whole in frames)
