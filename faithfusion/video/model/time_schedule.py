"""Rectified-flow path, time shift and the hold state, as pure functions shared by training and sampling.

Flow time t runs from 0 (clean latents) to 1 (noise): x_t = (1 - t) x0 + t noise, velocity dx/dt = noise - x0
(Lipman et al. 2023; Liu et al. 2023). The shift s' = shift s / (1 + (shift - 1) s) is that of SD3 (Esser et al. 2024).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.video.model.config import ScheduleConfig


def shift_time(time: Float[Tensor, "*shape"], shift: float) -> Float[Tensor, "*shape"]:
    """Moves uniform times towards noise: shift s / (1 + (shift - 1) s)."""
    return shift * time / (1.0 + (shift - 1.0) * time)


def unshifted_time(time: float, shift: float) -> float:
    """The time that `shift_time` moves to `time`."""
    return time / (shift - (shift - 1.0) * time)


def flow_state(
    x0: Float[Tensor, "b ..."], noise: Float[Tensor, "b ..."], time: Float[Tensor, " b"]
) -> Float[Tensor, "b ..."]:
    """The point of the path at `time`: (1 - t) x0 + t noise."""
    time = per_sample(time, x0)
    return (1.0 - time) * x0 + time * noise


def sample_training_times(batch: int, config: ScheduleConfig, generator: torch.Generator) -> Float[Tensor, " b"]:
    """Shifted uniform times in (0, 1] for one training batch."""
    uniform = 1.0 - torch.rand(batch, generator=generator, device=generator.device)
    return shift_time(uniform, config.shift)


def sampling_times(steps: int, config: ScheduleConfig, max_time: float = 1.0) -> list[float]:
    """`steps` descending evaluation times from `max_time` to the schedule's smallest, even before the shift; then 0.

    A clip whose `max_time` is not above the smallest time has this one time only, as in training. Returns an empty list
    if `max_time` is 0 (nothing to regenerate).
    """
    if max_time <= 0.0:
        return []
    if max_time <= config.min_time:
        return [max_time, 0.0]
    first, last = (unshifted_time(time, config.shift) for time in (max_time, config.min_time))
    grid = shift_time(torch.linspace(first, last, steps, dtype=torch.float64), config.shift).tolist()
    return [max_time, *grid[1:], 0.0]


def token_to_latent(
    value: Float[Tensor, "b t th tw"], latents: Float[Tensor, "b c t h w"]
) -> Float[Tensor, "b 1 t h w"]:
    """Repeats one value per token over the cells of `latents` that the token covers."""
    patch = latents.shape[-1] // value.shape[-1]
    return value.repeat_interleave(patch, -2).repeat_interleave(patch, -1)[:, None]


def per_sample(time: Float[Tensor, " b"], like: Tensor) -> Tensor:
    """Reshapes one value per sample so that it broadcasts over the other axes of `like`."""
    return time.to(like).reshape(-1, *([1] * (like.ndim - 1)))
