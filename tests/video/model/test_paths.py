from __future__ import annotations

import pytest
import torch
from reference.flow import path_state_loops, velocity_posterior

from faithfusion.video.model.config import ScheduleConfig
from faithfusion.video.model.paths import (
    LEVELS,
    advance,
    network_scale,
    path_phi,
    path_state,
    path_times,
    phi_index,
    predict_x0,
    render_prior,
    rounded_phi,
    time_levels,
)

PATHS = ["hold", "bridge", "per_token"]
SHAPE = (2, 2, 2, 4, 4)


def draws() -> tuple[torch.Tensor, ...]:
    """x0, render, noise, time, phi; some tokens certain, one released exactly at its time."""
    x0, render, noise = (torch.randn(SHAPE, dtype=torch.float64) for _ in range(3))
    time, phi = torch.tensor([0.25, 0.7], dtype=torch.float64), torch.rand(2, 2, 2, 2, dtype=torch.float64)
    phi[0, 0, 0, 0], phi[:, 1, 1, 1] = time[0], 0.0
    return x0, render, noise, time, phi


def test_rounding_keeps_the_ends_and_is_within_half_a_level() -> None:
    phi = torch.linspace(0, 1, 1001)
    assert phi_index(phi)[0] == 0 and phi_index(phi)[-1] == LEVELS - 1
    assert (rounded_phi(phi) - phi).abs().max() <= 0.5 / (LEVELS - 1) + 1e-6
    torch.testing.assert_close(rounded_phi(rounded_phi(phi)), rounded_phi(phi))
    levels = time_levels(torch.tensor([0.5]))[0]
    torch.testing.assert_close(levels[phi_index(phi)], 0.5 * rounded_phi(phi))


@pytest.mark.parametrize("path", PATHS)
def test_state_equals_its_twin_forward_and_in_gradient(path: str) -> None:
    x0, render, noise, time, phi = draws()
    cotangent = torch.randn_like(x0)
    leaves = (x0.requires_grad_(), render.requires_grad_())
    found = path_state(path, *leaves, noise, time, phi)
    used = phi if path == "hold" else rounded_phi(phi)
    state, velocity, counts = path_state_loops(path, *leaves, noise, time, used)
    assert torch.equal(found.counts, counts) and counts.any() and not counts.all()
    torch.testing.assert_close(found.x_t, state)
    torch.testing.assert_close(found.target, velocity)
    for pair in ((found.x_t, state), (found.target, velocity)):
        grads = [torch.autograd.grad(value, leaves, cotangent, retain_graph=True) for value in pair]
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("path", PATHS)
def test_one_step_along_the_true_velocity_is_exact_and_leads_to_the_truth(path: str) -> None:
    x0, render, noise, time, phi = draws()
    state = path_state(path, x0, render, noise, time, phi)
    earlier = path_state(path, x0, render, noise, 0.4 * time, phi)
    moved = advance(path, state.x_t, state.target, time, 0.4 * time, phi)
    both = (state.counts & earlier.counts).expand_as(x0)
    torch.testing.assert_close(moved[both], earlier.x_t[both])
    clean = predict_x0(path, state.x_t, state.target, time, phi)
    counts = state.counts.expand_as(x0)
    torch.testing.assert_close(clean[counts], x0[counts])
    torch.testing.assert_close(clean[~counts], render[~counts])


def test_where_the_render_is_right_the_bridge_is_the_backbones_own_flow() -> None:
    x0, _, noise, time, phi = draws()
    state = path_state("bridge", x0, x0, noise, time, phi)
    tau = path_phi("bridge", phi, x0) * time.reshape(-1, 1, 1, 1, 1)
    torch.testing.assert_close(state.x_t, (1 - tau) * x0 + tau * noise)
    torch.testing.assert_close(state.target, network_scale("bridge", phi, x0) * (noise - x0))


def test_at_phi_1_all_paths_are_the_same() -> None:
    x0, render, noise, time, _ = draws()
    states = [path_state(path, x0, render, noise, time, torch.ones(2, 2, 2, 2, dtype=torch.float64)) for path in PATHS]
    for other in states[1:]:
        torch.testing.assert_close(other.x_t, states[0].x_t)
        torch.testing.assert_close(other.target, states[0].target)


def test_the_bridge_starts_at_the_render_as_noisy_as_eig_says() -> None:
    x0, render, noise, _, phi = draws()
    start = path_state("bridge", x0, render, noise, torch.ones(2, dtype=torch.float64), phi).x_t
    again = path_state("bridge", torch.zeros_like(x0), render, noise, torch.ones(2, dtype=torch.float64), phi).x_t
    torch.testing.assert_close(start, again, msg="nothing of the truth is in it")
    certain = path_phi("bridge", phi, x0).expand_as(x0) == 0
    assert torch.equal(start[certain], render[certain])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("error_std", [0.05, 1.0])
@pytest.mark.parametrize("time", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("level", [3, 20, 31])
@pytest.mark.parametrize("guessed", [False, True])
def test_render_prior_is_gaussian_conditioning(
    path: str, time: float, error_std: float, level: int, guessed: bool
) -> None:
    x_t, render, guess = torch.randn(3, 1, 1, 1, 2, 2)
    guess = guess if guessed else render
    phi = torch.full((1, 1, 1, 1), level / (LEVELS - 1))
    at = (torch.tensor([time]), phi, torch.full_like(x_t, error_std))
    mean, std = render_prior(path, x_t, render, *at, guess if guessed else None)
    strength = level / (LEVELS - 1)
    for value, of_render, of_guess, found_mean, found_std in zip(
        *(tensor.flatten().tolist() for tensor in (x_t, render, guess, mean, std.expand_as(mean))), strict=True
    ):
        expected_mean, expected_std = velocity_posterior(path, value, of_render, time, strength, error_std, of_guess)
        assert found_mean == pytest.approx(expected_mean, rel=1e-3, abs=1e-3)
        assert found_std == pytest.approx(expected_std, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("path", PATHS)
def test_render_prior_of_a_certain_render_leads_to_the_render(path: str) -> None:
    render, noise, time = torch.randn(1, 2, 1, 2, 2), torch.randn(1, 2, 1, 2, 2), torch.tensor([0.4])
    phi = torch.full((1, 1, 1, 1), 0.0 if path != "hold" else 0.5)
    x_t = path_state(path, render, render, noise, time, phi).x_t
    for guess in (None, torch.randn_like(render)) if path != "hold" else (None,):
        mean, std = render_prior(path, x_t, render, time, phi, torch.zeros_like(x_t[:, :1]), guess)
        torch.testing.assert_close(predict_x0(path, x_t, mean, time, phi), render)
        assert (std == 0).all()


def test_times_of_the_most_uncertain_token_are_those_of_wan() -> None:
    config = ScheduleConfig(shift=3.0)
    hold = path_times("hold", 6, config, 0.5)
    for path in ("bridge", "per_token"):
        times = path_times(path, 6, config, 0.5)
        assert times[0] == 1.0 and [0.5 * time for time in times] == pytest.approx(hold)
    assert path_times("bridge", 6, config, 0.0) == []
