"""A clip beside everything that it can be compared with; what several metrics need is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from faithfusion.evaluate.metrics.followed_points import FollowedPoints, follow_clip
from faithfusion.evaluate.metrics.perceptual import stage_features
from faithfusion.types import Camera
from faithfusion.utils.errors import InputError
from faithfusion.utils.image_math import ssim_map
from faithfusion.utils.mobilenet import StageFeatures

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """What the clips of one path are compared with.

    Attributes:
        cameras: The cameras, one per frame.
        depth_m: Camera z of what is seen, in metres; 0 where there is nothing.
        eig_nats: The expected information gain of the unrefined render.
        region: The pixels that count as regenerated, the same for every clip.
        static: The pixels of things that do not move; None if nobody knows.
        render: The clip from which the editor started; None leaves out what is compared with it.
        truth: The true clip; None if there is none.
        network: MobileNetV2, for distances of features; None leaves those out.
    """

    cameras: Sequence[Camera]
    depth_m: Float[Tensor, "t h w"]
    eig_nats: Float[Tensor, "t h w"]
    region: Bool[Tensor, "t h w"]
    static: Bool[Tensor, "t h w"] | None = None
    render: Float[Tensor, "t h w 3"] | None = None
    truth: Float[Tensor, "t h w 3"] | None = None
    network: nn.Module | None = None

    @cached_property
    def lowest_eig(self) -> Bool[Tensor, "t h w"]:
        """The tenth of the pixels that is known best."""
        count = self.eig_nats.numel() // 10
        chosen = torch.zeros(self.eig_nats.numel(), dtype=torch.bool)
        chosen[self.eig_nats.flatten().argsort(stable=True)[:count]] = True
        return chosen.reshape(self.eig_nats.shape)

    @cached_property
    def followed(self) -> list[FollowedPoints]:
        """Where the points of every frame but the last lie in the next one."""
        return follow_clip(self.depth_m, self.cameras)

    @cached_property
    def truth_features(self) -> StageFeatures:
        """The network's features of the true clip."""
        return stage_features(_present(self.network), _present(self.truth))


@dataclass(frozen=True)
class ScoredClip:
    """A clip, colours in [0, 1], and what it is compared with. Raises InputError if their shapes differ."""

    video: Float[Tensor, "t h w 3"]
    target: Target

    def __post_init__(self) -> None:
        shape = (*self.target.region.shape, 3)
        if tuple(self.video.shape) != shape:
            raise InputError("scored clip", f"shape {tuple(self.video.shape)}", f"{shape} as its target")

    @property
    def truth(self) -> Float[Tensor, "t h w 3"]:
        """The true clip, for metrics that need it."""
        return _present(self.target.truth)

    @property
    def render(self) -> Float[Tensor, "t h w 3"]:
        """The clip from which the editor started, for metrics that need it."""
        return _present(self.target.render)

    @cached_property
    def sq_error(self) -> Float[Tensor, "t h w"]:
        """Squared difference from the truth of every pixel, mean over the channels."""
        return (self.video - self.truth).square().mean(-1)

    @cached_property
    def abs_error(self) -> Float[Tensor, "t h w"]:
        """Absolute difference from the truth of every pixel, mean over the channels."""
        return (self.video - self.truth).abs().mean(-1)

    @cached_property
    def ssim_maps(self) -> list[Float[Tensor, "h w"]]:
        """SSIM with the truth of every pixel, per frame."""
        return [ssim_map(image, true) for image, true in zip(self.video, self.truth, strict=True)]

    @cached_property
    def features(self) -> StageFeatures:
        """The network's features of the clip."""
        return stage_features(_present(self.target.network), self.video)


def _present(part: T | None) -> T:
    """What a metric asks for; it says so in `Metric.needs`, so it is there."""
    if part is None:
        raise InputError("metric", "a part of its target that is None", "its name in the metric's `needs`")
    return part
