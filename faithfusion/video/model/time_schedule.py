"""Rectified-flow path, time shift and the hold state, as pure functions shared by training and sampling.

Flow time t runs from 0 (clean latents) to 1 (noise): x_t = (1 - t) x0 + t noise, velocity dx/dt = noise - x0
(Lipman et al. 2023; Liu et al. 2023). The shift s' = shift s / (1 + (shift - 1) s) is that of SD3 (Esser et al. 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

PATCH = 2  # latent cells along each side of a token

PathName = Literal["hold", "bridge", "per_token"]


@dataclass(frozen=True)
class ScheduleConfig:
    """Time schedule, stored with the weights: a model is sampled with the shift it was trained with.

    Attributes:
        path: what the weights were trained for (`model.paths`): "hold" is plain Wan, with one time for all tokens.
        shift: time shift of training and sampling; Wan2.1 uses 3 to 16, small latents need none (1).
        min_time: smallest time at which the network is evaluated; the last step jumps from there to t = 0.
    """

    path: PathName = "hold"
    shift: float = 1.0
    min_time: float = 0.1


def shift_time(time: Float[Tensor, "*shape"], shift: float) -> Float[Tensor, "*shape"]:
    """Moves uniform times towards noise: shift s / (1 + (shift - 1) s)."""
    return shift * time / (1.0 + (shift - 1.0) * time)


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
    """Descending evaluation times followed by 0; steps at t > `max_time` are skipped, the first is at `max_time`.

    Returns an empty list if `max_time` is 0 (nothing to regenerate).
    """
    if max_time <= 0.0:
        return []
    last = config.min_time / (config.shift - (config.shift - 1.0) * config.min_time)
    grid = shift_time(torch.linspace(1.0, last, steps, dtype=torch.float64), config.shift).tolist()
    return [max_time, *(time for time in grid if time < max_time - 1e-6), 0.0]


def token_to_latent(value: Float[Tensor, "b t th tw"]) -> Float[Tensor, "b 1 t h w"]:
    """Repeats one value per token over its PATCH x PATCH latent cells."""
    return value.repeat_interleave(PATCH, -2).repeat_interleave(PATCH, -1)[:, None]


def per_sample(time: Float[Tensor, " b"], like: Tensor) -> Tensor:
    """One value per sample, broadcast over the other axes of `like`."""
    return time.to(like).reshape(-1, *([1] * (like.ndim - 1)))
