"""How much every pixel of an edited clip counts in the distillation: ours, and those it is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.distill.assess import RecordedViews
from faithfusion.distill.refine_config import WeightName
from faithfusion.eig.published import bin_weight, published_gain, published_information
from faithfusion.types import Camera, DriveClip, Frame, GaussianScene, Window
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import track
from faithfusion.video.editor import EditedClip

FULL_QUANTILE = 0.99
"""Of a clip's EIG: what lies above counts fully, so that one pixel does not set the scale of all."""


def edit_weight(
    kind: WeightName, window: Window, edited: EditedClip, published: Float[Tensor, "t h w"] | None = None
) -> Float[Tensor, "t h w"]:
    """Weight of every pixel, in [0, 1].

    kalman: the editor's gain (`video.composite`). uniform: 1. eig: EIG over its largest value in the clip (paper:
    "normalised EIG map"). published: the released code's bins of its gain, which `published_maps` gives. Raises
    InputError if that is missing.
    """
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


def published_maps(
    scene: GaussianScene, clip: DriveClip, informing: Sequence[Frame], cameras: Sequence[Camera], times: Sequence[int]
) -> Float[Tensor, "t h w"]:
    """The released code's gain of new views, given the frames that informed the scene."""
    information = published_information(scene, RecordedViews(clip, informing))
    places = track(list(zip(cameras, times, strict=True)), "published gain of the new views")
    return torch.stack([published_gain(scene, information, camera, time).code.cpu() for camera, time in places])
