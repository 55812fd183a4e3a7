from __future__ import annotations

import pytest
import torch
from reference.flow import shift_scalar

from faithfusion.utils.seed import make_generator
from faithfusion.video.model.config import ScheduleConfig
from faithfusion.video.model.time_schedule import sample_training_times, sampling_times, shift_time


@pytest.mark.parametrize("shift", [1.0, 3.0, 16.0])
def test_shift_is_the_published_formula_and_keeps_the_ends(shift: float) -> None:
    times = torch.linspace(0, 1, 11)
    shifted = shift_time(times, shift)
    torch.testing.assert_close(shifted, torch.tensor([shift_scalar(t, shift) for t in times.tolist()]))
    assert shifted[0] == 0 and shifted[-1] == 1
    assert (shifted.diff() > 0).all()


def test_sampling_skips_the_steps_above_the_largest_noise_level() -> None:
    config = ScheduleConfig(shift=3.0, min_time=0.1)
    full = sampling_times(6, config)
    assert len(full) == 7 and full[0] == 1.0 and full[-1] == 0.0 and full[-2] == pytest.approx(0.1)
    part = sampling_times(6, config, max_time=0.5)
    assert part[0] == 0.5 and len(part) < len(full) and set(part[1:]) <= set(full)
    assert sampling_times(6, config, max_time=0.0) == []
    assert sampling_times(6, config, max_time=0.05) == [0.05, 0.0]


def test_training_times_are_reproducible_and_shifted_towards_noise() -> None:
    draw = [sample_training_times(1000, ScheduleConfig(shift=s), make_generator(3, "time")) for s in (1.0, 1.0, 5.0)]
    assert torch.equal(draw[0], draw[1])
    assert draw[0].min() > 0 and draw[2].max() <= 1
    assert draw[2].mean() > draw[0].mean() + 0.1
