"""In which stages a row of the ablation goes to the shifts: all at once, or as the loop's schedule says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faithfusion.distill.config import ScheduleConfig


@dataclass(frozen=True)
class Stage:
    """One distillation.

    Attributes:
        shifts_m: The shifts whose edited clips are distilled.
        anew_m: Those of them that are rendered and edited first. The others keep what an earlier stage made.
    """

    shifts_m: tuple[float, ...]
    anew_m: tuple[float, ...]


def at_once(shifts_m: Sequence[float]) -> list[Stage]:
    """Returns one stage for all shifts."""
    return [Stage(tuple(shifts_m), tuple(shifts_m))]


def in_stages(shifts_m: Sequence[float], schedule: ScheduleConfig) -> list[Stage]:
    """Returns stages in which every shift is reached in the equal steps of `schedule.num_stages`, side by side with the
    others; one that is reached goes on being distilled. All shifts follow anew for `schedule.passes` - 1 times."""
    counts = [schedule.num_stages(abs(shift_m)) for shift_m in shifts_m]
    stages: list[Stage] = []
    reached: tuple[float, ...] = ()
    for number in range(1, max(counts) + 1):
        shares = [min(number / count, 1.0) for count in counts]
        places = tuple(dict.fromkeys(round(at * share, 6) for at, share in zip(shifts_m, shares, strict=True)))
        stages.append(Stage(places, tuple(at for at in places if at not in reached)))
        reached = places
    return stages + at_once(shifts_m) * (schedule.passes - 1)
