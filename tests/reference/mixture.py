"""What the generator's head writes into a pixel, in plain Python, pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence

Color = Sequence[float]


def mixed_pixel(sources: Sequence[Color], trust: Sequence[float], logits: Sequence[float]) -> list[float]:
    """sum_i w_i source_i with w_i proportional to trust_i exp(logit_i)."""
    weights = [t * math.exp(logit) for t, logit in zip(trust, logits, strict=True)]
    return [sum(w * s[c] for w, s in zip(weights, sources, strict=True)) / sum(weights) for c in range(3)]


def head_pixel(
    sources: Sequence[Color], trust: Sequence[float], logits: Sequence[float], gate: float, residual: Color
) -> list[float]:
    """The decoded clip is the first source; `residual` is in [-1, 1] units."""
    mixed = mixed_pixel(sources, trust, logits)
    return [(1.0 - gate) * sources[0][c] + gate * mixed[c] + 0.5 * residual[c] for c in range(3)]
