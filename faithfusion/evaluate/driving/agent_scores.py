"""Scores of vehicles in one picture: the published rule, one detection per reference, and what was missed."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from faithfusion.evaluate.driving.agent_references import MIN_VISIBLE, AgentReferences
from faithfusion.evaluate.driving.boxes import box_areas, box_ious, centre_distances, shared_areas

MAX_CENTRE_PX = 10.0
HIT_IOU = 0.5
MAX_IGNORED = 0.5
"""A detection that lies by more than this share in vehicles nobody asks for is neither right nor wrong."""
COLUMNS = (
    *("references", "iou", "visible_references", "visible_iou", "single_iou"),
    *("seen", "matched_iou", "hits", "detections"),
)
"""What is kept of one picture. The first five belong to the published form and its variants, the others to the
honest form; `seen` and `detections` are what its recall and precision are shares of."""


def nearest_ious(boxes: Float[Tensor, "n 4"], detected: Float[Tensor, "m 4"]) -> Float[Tensor, " n"]:
    """Returns the published score of each reference box: its IoU with the detection whose centre is nearest if that is
    within 10 pixels, else 0. Several boxes may take one detection."""
    if len(detected) == 0:
        return torch.zeros(len(boxes))
    distance, nearest = centre_distances(boxes, detected).min(1)
    ious = box_ious(boxes, detected).gather(1, nearest[:, None])[:, 0]
    return torch.where(distance <= MAX_CENTRE_PX, ious, 0.0)


def matched_ious(
    boxes: Float[Tensor, "n 4"], detected: Float[Tensor, "m 4"], max_centre_px: float = torch.inf
) -> tuple[Float[Tensor, " n"], Int[Tensor, " n"]]:
    """Returns the IoU of each reference box where each detection belongs to one box at most, and that detection's place
    (-1: none). Boxes and detections are matched such that the sum of the IoUs is greatest; pairs whose centres lie
    farther apart than `max_centre_px` are no pairs."""
    ious = box_ious(boxes, detected)
    ious = torch.where(centre_distances(boxes, detected) <= max_centre_px, ious, 0.0)
    scores, places = torch.zeros(len(boxes)), torch.full((len(boxes),), -1)
    for row, column in zip(*linear_sum_assignment(ious.double().numpy(), maximize=True), strict=True):
        if ious[row, column] > 0:
            scores[row], places[row] = ious[row, column], int(column)
    return scores, places


def countable_detections(
    detected: Float[Tensor, "m 4"], ignored: Float[Tensor, "n 4"], is_hit: Bool[Tensor, " m"]
) -> Bool[Tensor, " m"]:
    """Returns which detections precision is a share of: hits, and those outside the ignored vehicles."""
    if len(ignored) == 0:
        return torch.ones_like(is_hit)
    share = shared_areas(detected, ignored) / box_areas(detected).clamp_min(1e-6)[:, None]
    return is_hit | (share.amax(1) <= MAX_IGNORED)


def agent_row(references: AgentReferences, detected: Float[Tensor, "m 4"]) -> Float[Tensor, " columns"]:
    """Returns what `COLUMNS` names, of one picture. `detected` are the detector's vehicles, at 480 x 320."""
    boxes = references.boxes[references.is_scored]
    scores = nearest_ious(boxes, detected)
    is_visible = references.visible[references.is_scored] >= MIN_VISIBLE
    single, _ = matched_ious(boxes, detected, MAX_CENTRE_PX)
    matched, places = matched_ious(references.extents[references.is_seen], detected)
    is_hit = torch.zeros(len(detected), dtype=torch.bool)
    is_hit[places[matched >= HIT_IOU]] = True
    counted = countable_detections(detected, references.extents[~references.is_seen], is_hit)
    published = (len(boxes), scores.sum(), is_visible.sum(), scores[is_visible].sum(), single.sum())
    honest = (int(references.is_seen.sum()), matched.sum(), is_hit.sum(), counted.sum())
    return torch.tensor([float(value) for value in published + honest])
