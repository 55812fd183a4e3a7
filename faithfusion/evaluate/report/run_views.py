"""The final clips of a run, and what can be measured on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float
from torch import Tensor

from faithfusion.evaluate.metrics.image_scores import eig_deciles, psnr_by_decile
from faithfusion.evaluate.metrics.registry import METRICS, clip_scores
from faithfusion.evaluate.metrics.scored_clip import Target
from faithfusion.evaluate.metrics.uncertainty import (
    SKY_ALPHA,
    covered_error_share,
    reliability,
    sparsification,
    spearman,
    subsample,
)
from faithfusion.types import Camera, EigVolume


@dataclass(frozen=True)
class RunViews:
    """The clip on the new path. `before` is the scene as fitted, to which `eig` and `depth` belong; `render` is the
    scene in the last stage, from which the editor made the finished clip `edit`; `after` is the distilled scene. A
    pixel counts as to be regenerated above the expected RMS error `regenerate_rms`, colours in [0, 1]."""

    before: Float[Tensor, "t h w 3"]
    render: Float[Tensor, "t h w 3"]
    edit: Float[Tensor, "t h w 3"]
    after: Float[Tensor, "t h w 3"]
    eig: EigVolume
    depth: Float[Tensor, "t h w"]
    truth: Float[Tensor, "t h w 3"] | None
    regenerate_rms: float

    @property
    def region(self) -> Tensor:
        """The pixels that count as regenerated, [T, H, W]."""
        return self.eig.expected_sq_error > self.regenerate_rms**2

    @cached_property
    def abs_error(self) -> Tensor:
        """The true absolute error of the render before, mean over the channels, [T, H, W]. Needs truth."""
        return (self.before - self.truth).abs().mean(-1)


def shift_metrics(views: RunViews, cameras: Sequence[Camera]) -> dict[str, dict[str, float]]:
    """Returns the scores of each clip (before, edit, after), as far as there is something to compare it with: no render
    preceded the clip before, and quality needs the truth."""
    target = Target(cameras, views.depth, views.eig.eig_nats, views.region, render=views.render, truth=views.truth)
    shown = {name: metric for name, metric in METRICS.items() if metric.in_report}
    of_render = {name: metric for name, metric in shown.items() if "render" not in metric.needs}
    metrics = {"before": of_render, "edit": shown, "after": shown}
    return {clip: clip_scores(getattr(views, clip), target, of_clip) for clip, of_clip in metrics.items()}


def uncertainty_metrics(views: RunViews) -> dict[str, dict[str, float]]:
    """Returns how well EIG and accumulated alpha predict the true absolute error of the render; of EIG alone the
    regenerated share without truth."""
    share = {"regenerated_share": float(views.region.float().mean())}
    if views.truth is None:
        return {"eig": share}
    error = views.abs_error
    sky = views.eig.alpha < SKY_ALPHA
    rows = {}
    for name, score in (("eig", views.eig.eig_nats), ("alpha", 1.0 - views.eig.alpha)):
        pairs = subsample(score.numpy(), error.numpy())
        rows[name] = {"spearman": spearman(*pairs), "ause": sparsification(*pairs).ause}
        if not sky.all():
            solid = subsample(score[~sky].numpy(), error[~sky].numpy())
            rows[name] |= {"spearman_without_sky": spearman(*solid), "ause_without_sky": sparsification(*solid).ause}
    rows["eig"] |= share | {"covered_error_share": covered_error_share(error.numpy(), views.region.numpy())}
    return rows


def sparsification_curves(views: RunViews) -> dict[str, tuple[list[float], list[float]]]:
    """Returns removed shares and remaining errors when the most uncertain pixels go first. Needs truth."""
    pairs = subsample(views.eig.eig_nats.numpy(), views.abs_error.numpy())
    result = sparsification(*pairs)
    share = result.removed_fraction.tolist()
    return {"EIG": (share, result.curve.tolist()), "oracle": (share, result.oracle.tolist())}


def error_reliability(views: RunViews) -> tuple[list[float], list[float]]:
    """Returns predicted and actual RMS error in ten groups of equally many pixels, smallest prediction first. Needs
    truth."""
    sq_error = (views.before - views.truth).square().mean(-1)
    pairs = subsample(views.eig.expected_sq_error.numpy(), sq_error.numpy())
    result = reliability(*pairs)
    return result.predicted_rms.tolist(), result.actual_rms.tolist()


def decile_curves(views: RunViews) -> dict[str, list[float]]:
    """Returns the PSNR against the truth of each clip in the ten deciles of EIG. Needs truth."""
    deciles = eig_deciles(views.eig.eig_nats)
    errors = {name: (getattr(views, name) - views.truth).square().mean(-1) for name in ("before", "edit", "after")}
    return {name: psnr_by_decile(sq_error, deciles) for name, sq_error in errors.items()}
