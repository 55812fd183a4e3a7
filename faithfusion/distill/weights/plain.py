"""Weights that look at nothing but the clip."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.distill.weights.context import WeightContext
from faithfusion.types import Window
from faithfusion.video.editing.editor import EditedClip

FULL_QUANTILE = 0.99
"""Of a clip's EIG: what lies above counts fully, so that one pixel does not set the scale of all."""


def kalman(window: Window, edited: EditedClip, context: WeightContext) -> Float[Tensor, "t h w"]:
    """Returns the gain of the editor (`video.editing.composite`)."""
    return edited.gain


def uniform(window: Window, edited: EditedClip, context: WeightContext) -> Float[Tensor, "t h w"]:
    """Returns 1 everywhere."""
    return torch.ones_like(edited.gain)


def eig(window: Window, edited: EditedClip, context: WeightContext) -> Float[Tensor, "t h w"]:
    """Returns EIG over its largest value in the clip (the paper's "normalised EIG map")."""
    values = window.eig.eig_nats.float()
    full = values.flatten()[:: max(1, values.numel() // 1_000_000)].quantile(FULL_QUANTILE)
    return (values / full.clamp_min(1e-12)).clamp(0.0, 1.0)
