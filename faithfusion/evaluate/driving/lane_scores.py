"""Scores of lane pixels in one picture: the published mean of two IoUs, and the lane's own."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.evaluate.driving.lane_references import LaneReference
from faithfusion.utils.errors import InputError

COLUMNS = ("pixels", "reference", "detected", "shared", "seen_reference", "seen_detected", "seen_shared")
"""What is kept of one picture, in pixels. `seen_`: without what lies behind something nearer."""


def lane_row(reference: LaneReference, detected: Bool[Tensor, "h w"]) -> Float[Tensor, " columns"]:
    """Returns what `COLUMNS` names, of one picture. Raises InputError for a mask of another size than the reference."""
    if detected.shape != reference.lane.shape:
        raise InputError("lane mask", f"size {tuple(detected.shape)}", f"size {tuple(reference.lane.shape)}")
    lane, counts = reference.lane, ~reference.is_hidden
    published = (lane.numel(), lane.sum(), detected.sum(), (lane & detected).sum())
    seen = ((lane & counts).sum(), (detected & counts).sum(), (lane & detected & counts).sum())
    return torch.tensor([float(value) for value in published + seen])


def published_scores(
    pixels: Float[Tensor, "*n"],
    reference: Float[Tensor, "*n"],
    detected: Float[Tensor, "*n"],
    shared: Float[Tensor, "*n"],
) -> Float[Tensor, "*n"]:
    """Returns 100 times the mean of the IoU of the background and that of the lane; an IoU of 0 / 0 counts as 0."""
    union = reference + detected - shared
    background = _ratio_or_zero(pixels - union, pixels - shared)
    return 50 * (background + _ratio_or_zero(shared, union))


def _ratio_or_zero(part: Float[Tensor, "*n"], whole: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    return torch.where(whole > 0, part / whole.clamp_min(1), 0.0)
