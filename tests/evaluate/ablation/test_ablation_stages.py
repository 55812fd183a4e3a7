"""In which stages a row goes to its shifts."""

from __future__ import annotations

from faithfusion.distill.config import ScheduleConfig
from faithfusion.evaluate.ablation.stages import Stage, at_once, in_stages

SHIFTS_M = (-6.0, -3.0, 3.0, 6.0)


def test_at_once_makes_every_clip_one_time() -> None:
    assert at_once(SHIFTS_M) == [Stage(SHIFTS_M, SHIFTS_M)]


def test_a_far_shift_is_reached_through_a_near_one_that_is_not_made_twice() -> None:
    first, second = in_stages(SHIFTS_M, ScheduleConfig(step_m=3.0))
    assert first == Stage((-3.0, 3.0), (-3.0, 3.0))
    assert second == Stage(SHIFTS_M, (-6.0, 6.0))


def test_steps_are_equal_and_no_longer_than_asked() -> None:
    stages = in_stages((-6.0, 3.0), ScheduleConfig(step_m=2.5))
    assert [stage.shifts_m for stage in stages] == [(-2.0, 1.5), (-4.0, 3.0), (-6.0, 3.0)]
    assert [stage.anew_m for stage in stages] == [(-2.0, 1.5), (-4.0, 3.0), (-6.0,)]


def test_another_pass_makes_all_clips_anew() -> None:
    assert in_stages(SHIFTS_M, ScheduleConfig(step_m=6.0, passes=3)) == at_once(SHIFTS_M) * 3
