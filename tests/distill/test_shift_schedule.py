"""The progressive schedule: where it goes and what it draws."""

import numpy as np
import pytest

from faithfusion.data.new_path import lay_out
from faithfusion.data.trajectory_config import TrajectoryEntry
from faithfusion.distill.config import ScheduleConfig
from faithfusion.distill.schedule import plan_views
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator


def test_stages_end_at_the_target_in_equal_steps() -> None:
    config = ScheduleConfig(step_m=1.0)
    counts = {3.0: 3, 2.5: 3, 0.4: 1, 3.0000001: 4, 3.0 + 1e-12: 3, 0.0: 1}
    assert {distance: config.num_stages(distance) for distance in counts} == counts
    for shift_m, expected in ((3.0, (1.0, 2.0, 3.0)), (-2.5, (-5 / 6, -5 / 3, -2.5)), (0.4, (0.4,))):
        path = lay_out([TrajectoryEntry(shift_m=shift_m)], np.eye(4)[None], np.eye(4))
        stages = path.stages(config.num_stages(float(path.displacement_m().max())))
        assert [stage.shift_m for stage in stages] == pytest.approx(expected, abs=0)


@pytest.mark.parametrize(
    "wrong", [{"step_m": 0.0}, {"target_shift_m": 0.0}, {"target_shift_m": float("nan")}, {"original_share": 1.5}]
)
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
