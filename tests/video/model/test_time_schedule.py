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


@pytest.mark.parametrize("shift", [1.0, 3.0, 16.0])
def test_all_steps_are_spread_below_the_largest_noise_level(shift: float) -> None:
    config = ScheduleConfig(shift=shift, min_time=0.1)
    lowest = 0.1 / (shift - (shift - 1) * 0.1)
    whole = [shift_scalar(1 + (lowest - 1) * i / 24, shift) for i in range(25)]
    assert sampling_times(25, config) == pytest.approx([*whole, 0.0]), "of phi = 1: Wan's own grid"
    for largest in (0.9, 0.5, 0.11):
        times = sampling_times(25, config, max_time=largest)
        assert len(times) == 26 and times[0] == largest and times[-2] == pytest.approx(0.1) and times[-1] == 0.0
        unshifted = torch.tensor([t / (shift - (shift - 1) * t) for t in times[:-1]], dtype=torch.float64)
        torch.testing.assert_close(unshifted.diff(), unshifted.diff().mean().expand(24))
        assert (unshifted.diff() < 0).all()
    assert sampling_times(1, config, max_time=0.5) == [0.5, 0.0]
    assert sampling_times(6, config, max_time=0.0) == []
    assert sampling_times(6, config, max_time=0.05) == [0.05, 0.0], "nothing is learned below min_time"


def test_training_times_are_reproducible_and_shifted_towards_noise() -> None:
    draw = [sample_training_times(1000, ScheduleConfig(shift=s), make_generator(3, "time")) for s in (1.0, 1.0, 5.0)]
    assert torch.equal(draw[0], draw[1])
    assert draw[0].min() > 0 and draw[2].max() <= 1
    assert draw[2].mean() > draw[0].mean() + 0.1
