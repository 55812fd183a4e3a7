"""The configuration of the distillation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from faithfusion.distill.schedule import ScheduleConfig
from faithfusion.fit.optimiser import OptimiserConfig
from faithfusion.scene.densify import DensifyConfig

WeightName = Literal["likelihood", "level", "kalman", "uniform", "eig", "published"]
NovelDepth = Literal["none", "lidar", "render"]
MovingObjects = Literal["keep", "distil"]


@dataclass(frozen=True)
class DistillConfig:
    """How a regenerated clip is pulled back into the Gaussians.

    Attributes:
        schedule: shifts, steps per stage, share of recorded views.
        target: what the shifted views are fitted to: the editor's frames or their soft composite with the render.
        weight: per-pixel weight of the photometric loss (`distill.pixel_weight`): "likelihood", what the edit adds,
            over the scale of its error, that of a recorded image being 1; to compare with: "level", "kalman",
            "uniform", "eig", "published".
        moving_objects: "keep" leaves their pixels out of the distillation: the fit has seen them from many sides, a
            generator that blurs them would pull their Gaussians apart; "distil" treats them as everything else.
        novel_depth: what holds the depth of the new views, with the weight `optimise.depth_weight`: nothing, the LiDAR
            scan of the time stamp, or the render before the distillation.
        optimise: learning rates and losses of the distillation; a rate of 0 freezes what it is of.
        densify: density control during the distillation, counted in steps of one stage.
    """

    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    target: Literal["edit", "composite"] = "edit"
    weight: WeightName = "likelihood"
    moving_objects: MovingObjects = "keep"
    novel_depth: NovelDepth = "none"
    optimise: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(warmup_steps=30))
    densify: DensifyConfig | None = None
