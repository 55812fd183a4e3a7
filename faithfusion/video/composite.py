"""Fusing render and edit in pixels: two sensors with known squared errors, weighted by the Kalman gain.

    output = (1 - w) render + w edit ,   w = V / (V + E(V))

V is the render's calibrated expected squared error, E the editor's own, measured on validation pairs by V.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.utils.errors import InputError

MAX_QUANTILE_SAMPLES = 1_000_000


@dataclass(frozen=True)
class ErrorProfile:
    """The editor's squared colour error by the render's expected one; before measurement a constant 0.01 (20 dB).

    Attributes:
        expected_sq_error: ascending bin edges of V, one more than bins (colours in [0, 1], per channel).
        editor_sq_error: the editor's mean squared error per bin, positive.
    """

    expected_sq_error: tuple[float, ...] = (1e-6, 1.0)
    editor_sq_error: tuple[float, ...] = (0.01,)

    def __post_init__(self) -> None:
        edges, errors = self.expected_sq_error, self.editor_sq_error
        ascending = all(low < high for low, high in zip(edges, edges[1:], strict=False))
        if len(edges) != len(errors) + 1 or not errors or not ascending or edges[0] <= 0 or min(errors) <= 0:
            found = f"{len(edges)} edges, {len(errors)} errors"
            raise InputError("error profile", found, "positive ascending edges, one more than positive errors")

    def editor_error(self, expected_sq_error: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """E(V), linear in log V between the bins' geometric centres, constant beyond the first and last."""
        edges = torch.tensor(self.expected_sq_error, dtype=torch.float32, device=expected_sq_error.device).log()
        values = torch.tensor(self.editor_sq_error, dtype=torch.float32, device=expected_sq_error.device)
        if len(values) == 1:
            return values[0].expand(expected_sq_error.shape)
        centres = 0.5 * (edges[1:] + edges[:-1])
        position = expected_sq_error.float().clamp_min(1e-12).log().clamp(centres[0], centres[-1])
        right = torch.searchsorted(centres, position).clamp(1, len(centres) - 1)
        fraction = (position - centres[right - 1]) / (centres[right] - centres[right - 1])
        return torch.lerp(values[right - 1], values[right], fraction)


@dataclass(frozen=True)
class CompositeConfig:
    """Where the render is left exactly as it is.

    Attributes:
        floor_sq_error: squared colour error below which w is 0; the default is one 8-bit step.
        faithful_quantile: share of a clip's best known pixels that also keep the render ...
        faithful_max_sq_error: ... as long as their expected squared error is below this.
    """

    floor_sq_error: float = (1.0 / 255.0) ** 2
    faithful_quantile: float = 0.1
    faithful_max_sq_error: float = 1e-3


def faithful_floor(expected_sq_error: Float[Tensor, "t h w"], config: CompositeConfig) -> float:
    """Squared error of one clip up to which the render is kept exactly."""
    values = expected_sq_error.flatten()
    values = values[:: -(-values.numel() // MAX_QUANTILE_SAMPLES)].float()
    quantile = float(torch.quantile(values, config.faithful_quantile, interpolation="higher"))
    return max(config.floor_sq_error, min(quantile, config.faithful_max_sq_error))


def kalman_gain(
    expected_sq_error: Float[Tensor, "t h w"], profile: ErrorProfile, floor: float
) -> Float[Tensor, "t h w"]:
    """w = V / (V + E(V)); exactly 0 for V <= `floor`, faded in between `floor` and twice that."""
    gain = expected_sq_error / (expected_sq_error + profile.editor_error(expected_sq_error))
    return gain * (expected_sq_error / floor - 1.0).clamp(0.0, 1.0)


def composite(
    render: Float[Tensor, "t h w 3"], edit: Float[Tensor, "t h w 3"], gain: Float[Tensor, "t h w"]
) -> Float[Tensor, "t h w 3"]:
    """(1 - w) render + w edit; the render's own values where w is 0."""
    return torch.where(gain[..., None] > 0.0, torch.lerp(render, edit, gain[..., None]), render)


def measure_profile(
    expected_sq_error: Float[Tensor, " n"], editor_sq_error: Float[Tensor, " n"], num_bins: int = 10
) -> ErrorProfile:
    """Mean editor error per quantile bin of V over validation pixels; bins of equal V (calibration's plateaus) merge.

    Raises InputError without pixels.
    """
    if expected_sq_error.numel() == 0:
        raise InputError("error profile", "no validation pixels", "at least one")
    order = expected_sq_error.double().clamp_min(1e-8).sort()
    errors = editor_sq_error.double()[order.indices]
    ranks = torch.linspace(0, len(errors) - 1, num_bins + 1).round().long()
    edges = order.values[ranks].unique()
    if len(edges) == 1:
        edges = torch.stack([edges[0] / 2.0, edges[0] * 2.0])
    bins = torch.bucketize(order.values, edges[1:-1])
    count = torch.bincount(bins, minlength=len(edges) - 1).clamp_min(1)
    means = torch.bincount(bins, weights=errors, minlength=len(edges) - 1) / count
    return ErrorProfile(tuple(edges.tolist()), tuple(means.clamp_min(1e-8).tolist()))
