"""How much every pixel of an edited clip counts in the distillation: ours, and those it is compared with.

Ours weighs as a likelihood does. The loss is mostly L1, the negative logarithm of a Laplace density, which divides
every residual by its scale, and the scale is proportional to the root mean square. A recorded image misses the scene by
sqrt(R), R its mean squared residual, and counts 1; an edited pixel counts sqrt(R / E), E the expected squared error of
the finished frame (edit and render fused, `video.editing.composite.fused_error`), times the Kalman gain, the part of it
that the render did not know:

    weight = w min(1, sqrt(R / E))
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.distill.config import WeightName
from faithfusion.eig.assess import RecordedViews
from faithfusion.eig.published import bin_weight, published_gain, published_information
from faithfusion.fit.supervised_view import ViewLoader
from faithfusion.render.render_view import render_view
from faithfusion.types import Camera, DriveClip, Frame, GaussianScene, Window
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import track
from faithfusion.video.editing.editor import EditedClip

RELATIVE = ("likelihood", "level")
"""Kinds that weigh the edit against the recorded images."""
NUM_RECORDED = 16
FULL_QUANTILE = 0.99
"""Of a clip's EIG: what lies above counts fully, so that one pixel does not set the scale of all."""


def edit_weight(
    kind: WeightName,
    window: Window,
    edited: EditedClip,
    *,
    recorded_sq_error: float | None = None,
    published: Float[Tensor, "t h w"] | None = None,
) -> Float[Tensor, "t h w"]:
    """Weight of every pixel, in [0, 1].

    likelihood: see above. level: its mean everywhere. kalman: the editor's gain (`editing.composite`). uniform: 1.
    eig: EIG over its largest value in the clip (paper: "normalised EIG map"). published: the released code's bins of
    its gain, which `published_maps` gives. Raises InputError if what a kind needs is missing.
    """
    if kind in RELATIVE:
        if recorded_sq_error is None:
            raise InputError("distill.weight", kind, "the error of the recorded images")
        weight = edited.gain * (recorded_sq_error / edited.sq_error.clamp_min(1e-12)).sqrt().clamp_max(1.0)
        return weight if kind == "likelihood" else weight.mean().expand_as(weight)
    if kind == "kalman":
        return edited.gain
    if kind == "uniform":
        return torch.ones_like(edited.gain)
    if kind == "eig":
        eig = window.eig.eig_nats.float()
        full = eig.flatten()[:: max(1, eig.numel() // 1_000_000)].quantile(FULL_QUANTILE)
        return (eig / full.clamp_min(1e-12)).clamp(0.0, 1.0)
    if published is None:
        raise InputError("distill.weight", kind, "the published gain of the clip")
    return bin_weight(published)


@torch.no_grad()
def recorded_sq_error(scene: GaussianScene, recorded: ViewLoader) -> float:
    """R: the scene's mean squared residual per channel in `NUM_RECORDED` recorded views spread over the drive, of the
    pixels that are fitted. Raises InputError if there are none."""
    total, count = 0.0, 0.0
    for index in range(0, len(recorded), max(1, len(recorded) // NUM_RECORDED)):
        view = recorded.view(index)
        color = render_view(scene, view.camera, view.time_index).color.clamp(0.0, 1.0).to(view.image)
        total += float(((color - view.image).square().mean(-1) * view.pixel_weight).sum())
        count += float(view.pixel_weight.sum())
    if count == 0:
        raise InputError("distill.weight", "no recorded pixels", "recorded views to weigh the edit against")
    return total / count


def published_maps(
    scene: GaussianScene, clip: DriveClip, informing: Sequence[Frame], cameras: Sequence[Camera], times: Sequence[int]
) -> Float[Tensor, "t h w"]:
    """The released code's gain of new views, given the frames that informed the scene."""
    information = published_information(scene, RecordedViews(clip, informing))
    places = track(list(zip(cameras, times, strict=True)), "published gain of the new views")
    return torch.stack([published_gain(scene, information, camera, time).code.cpu() for camera, time in places])
