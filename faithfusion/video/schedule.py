"""Rectified-flow path, time shift and the hold state, as pure functions shared by training and sampling.

Flow time t runs from 0 (clean latents) to 1 (noise): x_t = (1 - t) x0 + t noise, velocity dx/dt = noise - x0
(Lipman et al. 2023; Liu et al. 2023). The shift s' = shift s / (1 + (shift - 1) s) is that of SD3 (Esser et al. 2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

PATCH = 2  # latent cells along each side of a token
MAX_ERROR_STD = 2.0**0.5  # two unrelated unit-variance latents differ by this


@dataclass(frozen=True)
class ScheduleConfig:
    """Time schedule, stored with the weights: a model is sampled with the shift it was trained with.

    Attributes:
        shift: time shift of training and sampling; Wan2.1 uses 3 to 16, small latents need none (1).
        min_time: smallest time at which the network is evaluated; the last step jumps from there to t = 0.
    """

    shift: float = 1.0
    min_time: float = 0.1


def shift_time(time: Float[Tensor, "*shape"], shift: float) -> Float[Tensor, "*shape"]:
    """Moves uniform times towards noise: shift s / (1 + (shift - 1) s)."""
    return shift * time / (1.0 + (shift - 1.0) * time)


def flow_state(
    x0: Float[Tensor, "b ..."], noise: Float[Tensor, "b ..."], time: Float[Tensor, " b"]
) -> Float[Tensor, "b ..."]:
    """The point of the path at `time`: (1 - t) x0 + t noise."""
    time = _per_sample(time, x0)
    return (1.0 - time) * x0 + time * noise


def flow_velocity(x0: Float[Tensor, "*latent"], noise: Float[Tensor, "*latent"]) -> Float[Tensor, "*latent"]:
    """Training target: noise - x0."""
    return noise - x0


def predict_x0(
    x_t: Float[Tensor, "b ..."], velocity: Float[Tensor, "b ..."], time: Float[Tensor, " b"]
) -> Float[Tensor, "b ..."]:
    """Clean latents implied by a velocity: x_t - t v."""
    return x_t - _per_sample(time, x_t) * velocity


def sample_training_times(batch: int, config: ScheduleConfig, generator: torch.Generator) -> Float[Tensor, " b"]:
    """Shifted uniform times in (0, 1] for one training batch."""
    uniform = 1.0 - torch.rand(batch, generator=generator, device=generator.device)
    return shift_time(uniform, config.shift)


def sampling_times(steps: int, config: ScheduleConfig, max_time: float = 1.0) -> list[float]:
    """Descending evaluation times followed by 0; steps at t > `max_time` are skipped, the first is at `max_time`.

    Returns an empty list if `max_time` is 0 (nothing to regenerate).
    """
    if max_time <= 0.0:
        return []
    last = config.min_time / (config.shift - (config.shift - 1.0) * config.min_time)
    grid = shift_time(torch.linspace(1.0, last, steps, dtype=torch.float64), config.shift).tolist()
    return [max_time, *(time for time in grid if time < max_time - 1e-6), 0.0]


def hold_state(
    x0: Float[Tensor, "b c t h w"],
    render_latent: Float[Tensor, "b c t h w"],
    noise: Float[Tensor, "b c t h w"],
    time: Float[Tensor, " b"],
    phi: Float[Tensor, "b t th tw"],
) -> tuple[Float[Tensor, "b c t h w"], Bool[Tensor, "b 1 t h w"]]:
    """Network input of the hold sampler at `time`, and which latent cells are released.

    A token stays at the re-noised render (1 - t) render + t noise until t <= phi, then follows the flow
    (1 - t) x0 + t noise (Differential Diffusion's hold, Levin and Fried 2023, per spatio-temporal token).
    """
    released = token_to_latent(phi) >= _per_sample(time, x0)
    return flow_state(torch.where(released, x0, render_latent), noise, time), released


def render_prior(
    x_t: Float[Tensor, "b c t h w"],
    render_latent: Float[Tensor, "b c t h w"],
    time: Float[Tensor, " b"],
    error_std: Float[Tensor, "b 1 t h w"],
) -> tuple[Float[Tensor, "b c t h w"], Float[Tensor, "b 1 t h w"]]:
    """Mean and standard deviation of the velocity given x_t when x0 ~ N(render, error_std^2) and noise ~ N(0, 1).

    With y = x_t - (1 - t) render = (1 - t) e + t n and velocity n - e - render:
        mean = (t - (1 - t) s^2) / D * y - render,   variance = s^2 / D,   D = (1 - t)^2 s^2 + t^2 .
    This is EDM's preconditioning (Karras et al. 2022) with the render as prior mean and its calibrated error as prior
    deviation s: where s = 0 the velocity leads exactly to the render, whatever a network adds in units of `std`.
    """
    t = _per_sample(time, x_t).clamp_min(1e-3)
    variance = error_std.to(x_t).clamp(0.0, MAX_ERROR_STD).square()
    denominator = (1.0 - t).square() * variance + t.square()
    evidence = x_t - (1.0 - t) * render_latent
    mean = (t - (1.0 - t) * variance) / denominator * evidence - render_latent
    return mean, (variance / denominator).sqrt()


def token_to_latent(value: Float[Tensor, "b t th tw"]) -> Float[Tensor, "b 1 t h w"]:
    """Repeats one value per token over its PATCH x PATCH latent cells."""
    return value.repeat_interleave(PATCH, -2).repeat_interleave(PATCH, -1)[:, None]


def _per_sample(time: Float[Tensor, " b"], like: Tensor) -> Tensor:
    return time.to(like).reshape(-1, *([1] * (like.ndim - 1)))
