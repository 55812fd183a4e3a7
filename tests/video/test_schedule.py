from __future__ import annotations

import pytest
import torch
from reference.flow import hold_state_loops, shift_scalar, velocity_posterior

from faithfusion.utils.seed import make_generator
from faithfusion.video.schedule import (
    ScheduleConfig,
    flow_state,
    flow_velocity,
    hold_state,
    predict_x0,
    render_prior,
    sample_training_times,
    sampling_times,
    shift_time,
)


@pytest.mark.parametrize("shift", [1.0, 3.0, 16.0])
def test_shift_is_the_published_formula_and_keeps_the_ends(shift: float) -> None:
    times = torch.linspace(0, 1, 11)
    shifted = shift_time(times, shift)
    torch.testing.assert_close(shifted, torch.tensor([shift_scalar(t, shift) for t in times.tolist()]))
    assert shifted[0] == 0 and shifted[-1] == 1
    assert (shifted.diff() > 0).all()


def test_velocity_is_the_derivative_of_the_path_and_leads_back_to_x0() -> None:
    x0, noise = torch.randn(2, 3, 1, 2, 2, dtype=torch.float64), torch.randn(2, 3, 1, 2, 2, dtype=torch.float64)
    time, step = torch.tensor([0.3, 0.9], dtype=torch.float64), 1e-6
    slope = (flow_state(x0, noise, time + step) - flow_state(x0, noise, time - step)) / (2 * step)
    velocity = flow_velocity(x0, noise)
    torch.testing.assert_close(slope, velocity, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(predict_x0(flow_state(x0, noise, time), velocity, time), x0)


def test_hold_state_equals_its_twin_forward_and_in_gradient() -> None:
    shape = (2, 2, 2, 4, 4)
    x0, render, noise, cotangent = (torch.randn(shape) for _ in range(4))
    phi = torch.rand(2, 2, 2, 2)
    time = torch.tensor([0.25, 0.7])
    phi[0, 0, 0, 0] = time[0]  # released exactly at t = phi
    state, released = hold_state(x0.requires_grad_(), render.requires_grad_(), noise, time, phi)
    grads = torch.autograd.grad(state, (x0, render), cotangent)
    twin_state, twin_released = hold_state_loops(x0, render, noise, time, phi)
    twin_grads = torch.autograd.grad(twin_state, (x0, render), cotangent)
    assert torch.equal(released, twin_released) and released[0, 0, 0, 0, 0]
    torch.testing.assert_close(state, twin_state)
    torch.testing.assert_close(grads, twin_grads)


@pytest.mark.parametrize("error_std", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("time", [0.1, 0.5, 1.0])
def test_render_prior_is_gaussian_conditioning(time: float, error_std: float) -> None:
    x_t, render = torch.randn(1, 1, 1, 2, 2), torch.randn(1, 1, 1, 2, 2)
    mean, std = render_prior(x_t, render, torch.tensor([time]), torch.full_like(x_t, error_std))
    for value, prior_mean, found_mean, found_std in zip(
        *(tensor.flatten().tolist() for tensor in (x_t, render, mean, std)), strict=True
    ):
        expected_mean, expected_std = velocity_posterior(value, prior_mean, time, error_std)
        assert found_mean == pytest.approx(expected_mean, abs=1e-4)
        assert found_std == pytest.approx(expected_std, abs=1e-4)


def test_render_prior_of_a_certain_render_leads_to_the_render() -> None:
    x_t, render = torch.randn(1, 2, 1, 2, 2), torch.randn(1, 2, 1, 2, 2)
    time = torch.tensor([0.4])
    mean, std = render_prior(x_t, render, time, torch.zeros_like(x_t[:, :1]))
    torch.testing.assert_close(predict_x0(x_t, mean, time), render)
    assert (std == 0).all()


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
