"""The configuration of the distillation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from faithfusion.utils.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The progressive expansion: shift a little, refine, distil, shift further (paper, section 1a "Loop").

    Attributes:
        target_shift_m: The new path lies so many metres to the left of the recorded one (negative: to the right),
            unless there is a `trajectory`.
        step_m: Each stage leads away from the recorded path by at most so many metres more.
        passes: The wanted path itself is rendered, regenerated and distilled so often.
        steps_per_stage: The number of descent steps of the distillation after each stage.
        original_share: The share of those steps that fit recorded views instead of regenerated ones.
    """

    target_shift_m: float = 3.0
    step_m: float = 3.0
    passes: int = 1
    steps_per_stage: int = 600
    original_share: float = 0.5

    def __post_init__(self) -> None:
        if not self.step_m > 0:
            raise InputError("schedule.step_m", self.step_m, "a positive number of metres")
        if self.passes < 1:
            raise InputError("schedule.passes", self.passes, "at least 1")
        if self.target_shift_m == 0 or not math.isfinite(self.target_shift_m):
            raise InputError("schedule.target_shift_m", self.target_shift_m, "a shift other than zero, in metres")
        if not 0.0 <= self.original_share <= 1.0:
            raise InputError("schedule.original_share", self.original_share, "a share between 0 and 1")

    def num_stages(self, displacement_m: float) -> int:
        """Returns the number of equal steps of at most `step_m` that lead `displacement_m` away."""
        return max(1, math.ceil(displacement_m / self.step_m - 1e-9))


NovelDepth = Literal["none", "lidar", "render"]
MovingObjects = Literal["keep", "distil"]


@dataclass(frozen=True)
class DistillConfig:
    """How a regenerated clip is pulled back into the Gaussians.

    Attributes:
        schedule: The stages of the loop and the steps in each.
        target: What the shifted views are fitted to: the frames of the editor, or their soft composite with the render.
        weight: The weight of a pixel in the photometric loss (`distill.weights`). "likelihood" takes what the edit
            adds, over the scale of its error, that of a recorded image being 1. The others are there to compare with:
            "level", "kalman", "uniform", "eig", "published_map", "released" and, where the truth is known, "oracle".
            The import path of your own function, as path/to/my_file.py:my_weight, is taken, too.
        novel_weight: The factor of all weights of new views, whatever `weight` is: recorded pixels are fitted anyway.
        metric: "posterior" moves every Gaussian in standard deviations of its EIG posterior (`fit.whitened`): far where
            the recorded views leave a direction open, little where they have settled it. "parameters" moves each
            parameter by itself, as the fit does.
        moving_objects: "keep" leaves the pixels of moving objects out of the distillation: the fit has seen them from
            many sides, and a generator that blurs them would pull their Gaussians apart. "distil" treats them as
            everything else.
        novel_depth: What holds the depth of the new views: nothing, the LiDAR scan of the time stamp, or the render
            before the distillation.
    """

    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    target: Literal["edit", "composite"] = "edit"
    weight: str = "likelihood"
    novel_weight: float = 0.5
    metric: Literal["posterior", "parameters"] = "posterior"
    moving_objects: MovingObjects = "keep"
    novel_depth: NovelDepth = "none"

    def __post_init__(self) -> None:
        if self.metric not in ("posterior", "parameters"):
            raise InputError("distill.metric", self.metric, "posterior or parameters")
        if not 0.0 < self.novel_weight < math.inf:
            raise InputError("distill.novel_weight", self.novel_weight, "a positive number")
