"""Rows of a file of Gaussians that can be drawn: infinite values that mean something are bounded, others left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from faithfusion.types import Gaussians
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say

LARGEST_LOGIT = 15.0
"""An opacity of exactly 0 or 1 has an infinite logit; beyond this one float32 does not tell them from 0 and 1."""
THIN = 0.01
"""A Gaussian of no thickness gets this share of its next smaller axis."""


def finite_gaussians(path: Path, fields: dict[str, np.ndarray]) -> Gaussians:
    """Gaussians of the rows whose values are all finite. InputError if none is left.

    Infinite opacity logits are opacities of 0 and 1 and are clamped; an axis of length 0 (log scale minus infinity)
    becomes thin, unless all three are 0.
    """
    fields = fields | {"opacity_logits": _clamped(fields["opacity_logits"]), "log_scales": _thin(fields["log_scales"])}
    finite = np.logical_and.reduce([np.isfinite(rows).all(axis=tuple(range(1, rows.ndim))) for rows in fields.values()])
    if not finite.any():
        raise InputError(path, f"{len(finite)} Gaussians, none of them finite", "at least one Gaussian")
    if not finite.all():
        say(f"{path}: {int((~finite).sum())} of {len(finite)} Gaussians hold NaN or infinite values and are left out")
    return Gaussians(**{name: torch.from_numpy(np.ascontiguousarray(rows[finite])) for name, rows in fields.items()})


def _clamped(logits: np.ndarray) -> np.ndarray:
    return np.where(np.isinf(logits), np.sign(logits) * np.float32(LARGEST_LOGIT), logits).astype(np.float32)


def _thin(log_scales: np.ndarray) -> np.ndarray:
    zero = np.isneginf(log_scales)
    least = np.where(zero, np.inf, log_scales).min(1, keepdims=True, initial=np.inf)  # infinite if all three are 0
    return np.where(zero, least + np.log(THIN), log_scales).astype(np.float32)
