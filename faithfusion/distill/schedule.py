"""How many stages lead to the new path, and which view in which step: pure functions of configuration and seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from faithfusion.distill.config import ScheduleConfig


@dataclass(frozen=True)
class PlannedView:
    """The view that one step of the distillation draws, by its index into the recorded training views or into the
    regenerated clip."""

    is_original: bool
    index: int


def plan_views(
    config: ScheduleConfig, num_original: int, num_novel: int, generator: torch.Generator
) -> Iterator[PlannedView]:
    """Yields `steps_per_stage` views; every view of a kind is drawn once before any is drawn twice."""
    original, novel = _endless(num_original, generator), _endless(num_novel, generator)
    for _ in range(config.steps_per_stage):
        is_original = bool(torch.rand((), generator=generator) < config.original_share)
        yield PlannedView(is_original, next(original) if is_original else next(novel))


def _endless(count: int, generator: torch.Generator) -> Iterator[int]:
    while True:
        yield from torch.randperm(count, generator=generator).tolist()
