"""MobileNetV2 distance of clips: how different they look to features that were trained on ImageNet."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.utils.errors import InputError
from faithfusion.utils.mobilenet import StageFeatures, feature_distance, unit_features

FRAMES_AT_ONCE = 4


@torch.no_grad()
def stage_features(network: nn.Module, video: Float[Tensor, "t h w 3"]) -> StageFeatures:
    """Returns the `unit_features` of a clip's frames."""
    images = rearrange(video.float().cpu(), "t h w c -> t c h w").split(FRAMES_AT_ONCE)
    return tuple(torch.cat(stage) for stage in zip(*(unit_features(network, part) for part in images), strict=True))


def mobilenet_distance(
    network: nn.Module,
    video: Float[Tensor, "t h w 3"],
    truth: Float[Tensor, "t2 h2 w2 3"],
    weight: Float[Tensor, "t h w"] | None = None,
) -> float:
    """Returns the `feature_distance` of two clips of one size. Raises InputError if their shapes differ."""
    if video.shape != truth.shape:
        raise InputError("MobileNetV2 distance", f"shapes {tuple(video.shape)}, {tuple(truth.shape)}", "equal shapes")
    return float(feature_distance(stage_features(network, video), stage_features(network, truth), weight))
