"""Boxes in pictures: what a detector found, how far boxes overlap, and which of two is kept.

A box is (left, top, right, bottom) in pixels; pixel centres lie at +0.5, so that a whole picture is (0, 0, w, h).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Detections:
    """What a detector found in one picture of `width` x `height` pixels; names of classes are COCO's."""

    boxes: Float[Tensor, "n 4"]
    scores: Float[Tensor, " n"]
    class_names: tuple[str, ...]
    width: int
    height: int

    def where(self, kept: Bool[Tensor, " n"] | Int[Tensor, " _"]) -> Detections:
        """Returns the detections that a mask or a list of places keeps."""
        places = kept.nonzero()[:, 0] if kept.dtype == torch.bool else kept
        names = tuple(self.class_names[place] for place in places.tolist())
        return Detections(self.boxes[places], self.scores[places], names, self.width, self.height)


def join_detections(parts: Sequence[Detections]) -> Detections:
    """Returns the detections of several passes over one picture as one."""
    names = tuple(name for part in parts for name in part.class_names)
    boxes, scores = torch.cat([part.boxes for part in parts]), torch.cat([part.scores for part in parts])
    return Detections(boxes, scores, names, parts[0].width, parts[0].height)


def vehicles_of(detections: Detections, classes: Sequence[str], min_score: float) -> Detections:
    """Returns the detections of the given classes whose score is above `min_score`."""
    is_kept = torch.tensor([name in classes for name in detections.class_names], dtype=torch.bool)
    return detections.where(is_kept & (detections.scores.cpu() > min_score))


def box_areas(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, " n"]:
    """Returns the areas of boxes in pixels; 0 for boxes without an inside."""
    return (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(-1)


def shared_areas(boxes: Float[Tensor, "n 4"], others: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """Returns the area in pixels that each box shares with each other one."""
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return (high - low).clamp_min(0).prod(-1)


def box_ious(boxes: Float[Tensor, "n 4"], others: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """Returns the intersection over union of each box with each other one; 0 where both are empty."""
    shared = shared_areas(boxes, others)
    union = box_areas(boxes)[:, None] + box_areas(others)[None] - shared
    return torch.where(union > 0, shared / union.clamp_min(1e-12), 0.0)


def centre_distances(boxes: Float[Tensor, "n 4"], others: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """Returns the distance in pixels between the centres of each box and each other one."""
    centres, other_centres = ((group[:, :2] + group[:, 2:]) / 2 for group in (boxes, others))
    return (centres[:, None] - other_centres[None]).norm(dim=-1)


def suppress(detections: Detections, max_iou: float) -> Detections:
    """Returns the detections that no better one of the same class overlaps by more than `max_iou`, best first."""
    order = detections.scores.argsort(descending=True, stable=True)
    sorted_ones = detections.where(order)
    overlaps = (box_ious(sorted_ones.boxes, sorted_ones.boxes) > max_iou).tolist()
    kept: list[int] = []
    for place, name in enumerate(sorted_ones.class_names):
        rivals = (other for other in kept if sorted_ones.class_names[other] == name)
        if not any(overlaps[place][other] for other in rivals):
            kept.append(place)
    return sorted_ones.where(torch.tensor(kept, dtype=torch.long))
