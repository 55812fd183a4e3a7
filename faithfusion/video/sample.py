"""The hold sampler: few Euler steps of the flow in which EIG decides when each token is released."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.video.conditioning import LatentConditions
from faithfusion.video.schedule import flow_state, hold_state, predict_x0, sampling_times, token_to_latent

if TYPE_CHECKING:  # the model imports diffusers, which takes seconds
    from faithfusion.video.model import Generator


@dataclass(frozen=True)
class SamplerConfig:
    """The hold sampler.

    Attributes:
        steps: evaluations from t = 1; those above the clip's largest phi are skipped.
        seed: seed of the noise.
    """

    steps: int = 2
    seed: int = 0


@torch.no_grad()
def sample_hold(
    generator: Generator, conditions: LatentConditions, config: SamplerConfig, random: torch.Generator
) -> Float[Tensor, "b c t h w"]:
    """Regenerated latents: tokens with phi = 0 are the render's own, bit for bit.

    A token is the re-noised render until t <= phi, then follows the flow; the last step is the prediction of x0.
    """
    render, phi = conditions.render_latent, token_to_latent(conditions.phi)
    noise = torch.randn(render.shape, generator=random, device=random.device, dtype=render.dtype).to(render.device)
    times = sampling_times(config.steps, generator.config.schedule, float(phi.max()))
    x = render
    for step, (time, next_time) in enumerate(zip(times, times[1:], strict=False)):
        now = torch.full((render.shape[0],), time, device=render.device)
        if step == 0:
            x, _ = hold_state(render, render, noise, now, conditions.phi)
        velocity = generator.velocity(x, now, conditions)
        flowed = predict_x0(x, velocity, now) if next_time == 0.0 else x + (next_time - time) * velocity
        held = flow_state(render, noise, torch.full_like(now, next_time))
        x = torch.where(phi >= now.reshape(-1, 1, 1, 1, 1), flowed, held)
    return x
