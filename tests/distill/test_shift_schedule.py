"""The progressive schedule: where it goes and what it draws."""

import pytest

from faithfusion.distill.schedule import ScheduleConfig, plan_views
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator


def test_stages_end_at_the_target_in_equal_steps() -> None:
    assert ScheduleConfig(target_shift_m=3.0, step_m=1.0).stage_shifts_m() == (1.0, 2.0, 3.0)
    assert ScheduleConfig(target_shift_m=-2.5, step_m=1.0).stage_shifts_m() == pytest.approx((-5 / 6, -5 / 3, -2.5))
    assert ScheduleConfig(target_shift_m=0.4, step_m=1.0).stage_shifts_m() == (0.4,)


@pytest.mark.parametrize("wrong", [{"step_m": 0.0}, {"target_shift_m": 0.0}, {"original_share": 1.5}])
def test_contradictions_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        ScheduleConfig(**wrong)


def test_every_view_is_drawn_before_any_repeats() -> None:
    config = ScheduleConfig(steps_per_stage=400, original_share=0.25)
    views = list(plan_views(config, 10, 7, make_generator(0, "plan")))
    originals = [view.index for view in views if view.is_original]
    novel = [view.index for view in views if not view.is_original]
    assert len(views) == 400
    assert 60 < len(originals) < 140
    for start in range(0, len(novel) - 6, 7):
        assert sorted(novel[start : start + 7]) == list(range(7))


def test_the_same_seed_plans_the_same_views() -> None:
    config = ScheduleConfig()
    plans = [list(plan_views(config, 5, 5, make_generator(1, "plan"))) for _ in range(2)]
    assert plans[0] == plans[1]
