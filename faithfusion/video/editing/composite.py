"""Fuses render and edit in pixels. They are two sensors with known squared errors and covariance, weighted by the
Kalman gain.

    output = (1 - w) render + w edit ,   w = (V - C) / (V + E - 2 C) ,   C = rho sqrt(V E)

V is the render's calibrated expected squared error, E the editor's own and rho the correlation of their errors, both
measured on validation pairs by V (`measure_profile`). An editor that has seen the render shares much of its error:
without C the two would be averaged where the edit alone is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor_config import CompositeConfig

FLOOR_SQ_ERROR = (1.0 / 255.0) ** 2
"""Squared colour error below which the gain is 0: one 8-bit step."""
FAITHFUL_MAX_SQ_ERROR = 1e-3
"""Squared colour error up to which the best known pixels fade into the others (`faithful_floor`)."""
MAX_QUANTILE_SAMPLES = 1_000_000


@dataclass(frozen=True)
class ErrorProfile:
    """The editor's squared colour error by the render's expected one, and how far both err alike; before measurement a
    constant 0.01 (20 dB), independent of the render's.

    Attributes:
        expected_sq_error: ascending bin edges of V, one more than bins (colours in [0, 1], per channel).
        editor_sq_error: the editor's mean squared error per bin, positive.
        correlation: correlation of the editor's error with the render's per bin, -1 to 1; empty means 0.
    """

    expected_sq_error: tuple[float, ...] = (1e-6, 1.0)
    editor_sq_error: tuple[float, ...] = (0.01,)
    correlation: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        edges, errors = self.expected_sq_error, self.editor_sq_error
        ascending = all(low < high for low, high in zip(edges, edges[1:], strict=False))
        if len(edges) != len(errors) + 1 or not errors or not ascending or edges[0] <= 0 or min(errors) <= 0:
            found = f"{len(edges)} edges, {len(errors)} errors"
            raise InputError("error profile", found, "positive ascending edges, one more than positive errors")
        if self.correlation and (len(self.correlation) != len(errors) or max(map(abs, self.correlation)) > 1.0):
            raise InputError("error profile", f"correlation {self.correlation}", "one from -1 to 1 per error, or none")

    def editor_error(self, expected_sq_error: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """E(V), linear in log V between the bins' geometric centres, constant beyond the first and last."""
        return self._between_bins(self.editor_sq_error, expected_sq_error)

    def covariance(self, expected_sq_error: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """C(V) = rho sqrt(V E), rho as E."""
        if not self.correlation:
            return torch.zeros_like(expected_sq_error)
        errors = expected_sq_error.clamp_min(0.0) * self.editor_error(expected_sq_error)
        return self._between_bins(self.correlation, expected_sq_error) * errors.sqrt()

    def _between_bins(self, values: Sequence[float], expected_sq_error: Tensor) -> Tensor:
        edges = torch.tensor(self.expected_sq_error, dtype=torch.float32, device=expected_sq_error.device).log()
        values = torch.tensor(values, dtype=torch.float32, device=expected_sq_error.device)
        if len(values) == 1:
            return values[0].expand(expected_sq_error.shape)
        centres = 0.5 * (edges[1:] + edges[:-1])
        position = expected_sq_error.float().clamp_min(1e-12).log().clamp(centres[0], centres[-1])
        right = torch.searchsorted(centres, position).clamp(1, len(centres) - 1)
        fraction = (position - centres[right - 1]) / (centres[right] - centres[right - 1])
        return torch.lerp(values[right - 1], values[right], fraction)


def faithful_floor(expected_sq_error: Float[Tensor, "t h w"], config: CompositeConfig) -> float:
    """Squared error of one clip up to which an editor keeps the render exactly: that of its best known pixels
    (`config.faithful_share`), as far as they are well known. Those of a worse clip are kept on the finished one
    (`editing.faithful`)."""
    if config.faithful_share == 0.0:
        return FLOOR_SQ_ERROR
    values = expected_sq_error.flatten()
    values = values[:: -(-values.numel() // MAX_QUANTILE_SAMPLES)].float()
    quantile = float(torch.quantile(values, config.faithful_share, interpolation="higher"))
    return max(FLOOR_SQ_ERROR, min(quantile, FAITHFUL_MAX_SQ_ERROR))


def kalman_gain(
    expected_sq_error: Float[Tensor, "t h w"], profile: ErrorProfile, floor: float
) -> Float[Tensor, "t h w"]:
    """w = (V - C) / (V + E - 2 C) in [0, 1]; exactly 0 for V <= `floor`, faded in between `floor` and twice that."""
    error, shared = profile.editor_error(expected_sq_error), profile.covariance(expected_sq_error)
    spread = (expected_sq_error + error - 2.0 * shared).clamp_min(1e-12)  # variance of edit minus render
    gain = ((expected_sq_error - shared) / spread).clamp(0.0, 1.0)
    return gain * (expected_sq_error / floor - 1.0).clamp(0.0, 1.0)


def fused_error(
    expected_sq_error: Float[Tensor, "t h w"], profile: ErrorProfile, gain: Float[Tensor, "t h w"]
) -> Float[Tensor, "t h w"]:
    """Expected squared error of the composite: (1 - w)^2 V + 2 w (1 - w) C + w^2 E."""
    error, shared = profile.editor_error(expected_sq_error), profile.covariance(expected_sq_error)
    kept = 1.0 - gain
    return kept.square() * expected_sq_error + 2.0 * gain * kept * shared + gain.square() * error


def composite(
    render: Float[Tensor, "t h w 3"], edit: Float[Tensor, "t h w 3"], gain: Float[Tensor, "t h w"]
) -> Float[Tensor, "t h w 3"]:
    """(1 - w) render + w edit; the render's own values where w is 0."""
    return torch.where(gain[..., None] > 0.0, torch.lerp(render, edit, gain[..., None]), render)


@dataclass(frozen=True)
class MeasuredErrors:
    """The errors of validation pixels: the render's expected squared error, and the mean squares and the mean product
    over the channels of the true errors of render and edit."""

    expected_sq_error: Float[Tensor, " n"]
    render_sq_error: Float[Tensor, " n"]
    editor_sq_error: Float[Tensor, " n"]
    product: Float[Tensor, " n"]


def measured_errors(
    expected_sq_error: Float[Tensor, "t h w"],
    render: Float[Tensor, "t h w 3"],
    edit: Float[Tensor, "t h w 3"],
    truth: Float[Tensor, "t h w 3"],
) -> MeasuredErrors:
    """Measures the errors of all pixels of a clip."""
    errors = (render - truth, edit - truth)
    means = (errors[0].square(), errors[1].square(), errors[0] * errors[1])
    return MeasuredErrors(expected_sq_error.flatten(), *(values.mean(-1).flatten() for values in means))


def even_places(num_values: int, num_bins: int) -> list[int]:
    """First, last and evenly spread places between them; exact for any number, unlike float32's linspace."""
    return [number * (num_values - 1) // num_bins for number in range(num_bins + 1)]


def measure_profile(clips: Sequence[MeasuredErrors], num_bins: int = 10) -> ErrorProfile:
    """The editor's error and its correlation with the render's per quantile bin of V; bins of equal V (calibration's
    plateaus) merge.

    What is measured is the share of the render's true error that the edit has. V is right on average over scenes, not
    in each: the share of the expected error would take the scene's error of calibration for the editor's own.
    Raises InputError without pixels.
    """
    if not sum(clip.product.numel() for clip in clips):
        raise InputError("error profile", "no validation pixels", "at least one")
    joined = {f.name: torch.cat([getattr(clip, f.name) for clip in clips]).double() for f in fields(MeasuredErrors)}
    order = joined["expected_sq_error"].clamp_min(1e-8).sort()
    edges = order.values[even_places(len(order.values), num_bins)].unique()
    if len(edges) == 1:
        edges = torch.stack([edges[0] / 2.0, edges[0] * 2.0])
    bins = torch.bucketize(order.values, edges[1:-1])
    count = torch.bincount(bins, minlength=len(edges) - 1).clamp_min(1)
    means = {
        name: torch.bincount(bins, weights=values[order.indices], minlength=len(edges) - 1) / count
        for name, values in joined.items()
    }
    render, editor = (means[name].clamp_min(1e-8) for name in ("render_sq_error", "editor_sq_error"))
    correlation = means["product"] / (render * editor).sqrt()
    editor = editor / render * means["expected_sq_error"].clamp_min(1e-8)
    return ErrorProfile(tuple(edges.tolist()), tuple(editor.tolist()), tuple(correlation.clamp(-1.0, 1.0).tolist()))
