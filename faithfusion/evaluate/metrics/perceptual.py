"""MobileNetV2 features of clips, for their distance: how different they look to what was trained on ImageNet."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.utils.mobilenet import StageFeatures, unit_features

FRAMES_AT_ONCE = 4


@torch.no_grad()
def stage_features(network: nn.Module, video: Float[Tensor, "t h w 3"]) -> StageFeatures:
    """Returns the `unit_features` of a clip's frames."""
    images = rearrange(video.float().cpu(), "t h w c -> t c h w").split(FRAMES_AT_ONCE)
    return tuple(torch.cat(stage) for stage in zip(*(unit_features(network, part) for part in images), strict=True))
