"""How many stages lead to the new path, and which view in which step: pure functions of configuration and seed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from faithfusion.utils.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The progressive expansion: shift a little, refine, distil, shift further (paper, section 1a "Loop").

    Attributes:
        target_shift_m: lateral shift of the wanted trajectory in metres, left is positive; a `trajectory` goes first.
        step_m: how much further each stage leads away from the recorded path at most, metres.
        passes: how often the wanted trajectory itself is rendered, regenerated and distilled.
        steps_per_stage: optimiser steps of the distillation after each stage.
        original_share: share of those steps that fit recorded views instead of regenerated ones.
    """

    target_shift_m: float = 3.0
    step_m: float = 3.0
    passes: int = 1
    steps_per_stage: int = 400
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
        """Equal steps of at most `step_m` that lead `displacement_m` away."""
        return max(1, math.ceil(displacement_m / self.step_m - 1e-9))


@dataclass(frozen=True)
class PlannedView:
    """The view one distillation step draws: index into the recorded training views, or into the regenerated clip."""

    is_original: bool
    index: int


def plan_views(
    config: ScheduleConfig, num_original: int, num_novel: int, generator: torch.Generator
) -> Iterator[PlannedView]:
    """`steps_per_stage` views; every view of a kind is drawn once before any is drawn twice."""
    original, novel = _endless(num_original, generator), _endless(num_novel, generator)
    for _ in range(config.steps_per_stage):
        is_original = bool(torch.rand((), generator=generator) < config.original_share)
        yield PlannedView(is_original, next(original) if is_original else next(novel))


def _endless(count: int, generator: torch.Generator) -> Iterator[int]:
    while True:
        yield from torch.randperm(count, generator=generator).tolist()
