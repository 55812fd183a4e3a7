"""Samples in few Euler steps along a path on which EIG sets every token's noise. What is certain is not computed
again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor_config import SamplerConfig
from faithfusion.video.model.conditioning import LatentConditions, each_tensor
from faithfusion.video.model.config import PathName
from faithfusion.video.model.paths import advance, held, path_state, path_times, predict_x0, rounded_phi

if TYPE_CHECKING:  # the model imports diffusers, which takes seconds
    from faithfusion.video.model.generator import Generator


def check_sampler(generator: Generator, config: SamplerConfig) -> None:
    """Raises InputError for what these weights cannot do: sparse sampling on the path hold, guidance without a negative
    prompt."""
    if config.sparse and (config.path or generator.config.schedule.path) == "hold":
        raise InputError("sampler.sparse", True, "weights trained for bridge or per_token, these are for hold")
    if config.guidance != 1.0 and generator.negative_prompt is None:
        expected = "1, or a prompt file with a negative prompt (tools/encode_prompt.py)"
        raise InputError("sampler.guidance", config.guidance, expected)


@torch.no_grad()
def sample(
    generator: Generator, conditions: LatentConditions, config: SamplerConfig, random: torch.Generator
) -> Float[Tensor, "b c t h w"]:
    """Regenerated latents: tokens with phi = 0 are the render's own, bit for bit.

    Raises InputError where `check_sampler` does.
    """
    check_sampler(generator, config)
    path = config.path or generator.config.schedule.path
    if config.sparse:
        clips = [each_tensor(conditions, lambda values, i=i: values[i : i + 1]) for i in range(len(conditions.phi))]
        return torch.cat([_sample(generator, one, config, path, random) for one in clips])
    return _sample(generator, conditions, config, path, random)


def _sample(
    generator: Generator, conditions: LatentConditions, config: SamplerConfig, path: PathName, random: torch.Generator
) -> Float[Tensor, "b c t h w"]:
    render, phi = conditions.render_latent, conditions.phi
    largest = float(phi.max() if path == "hold" else rounded_phi(phi).max())
    times = path_times(path, config.steps, generator.config.schedule, largest)
    noise = _noise_like(render, random, config.temperature)
    if not times:
        return render
    ask = _Ask(generator, generator.prepare(conditions), config, path)
    now = torch.full((render.shape[0],), times[0], device=render.device)
    x = path_state(path, render, render, noise, now, phi).x_t
    for next_time in times[1:]:
        x, noise = _step(ask, x, now, next_time, noise, random)
        now = torch.full_like(now, next_time)
    return x


class _Ask:
    """The guided velocity of one clip, with what does not change from step to step."""

    def __init__(
        self, generator: Generator, conditions: LatentConditions, config: SamplerConfig, path: PathName
    ) -> None:
        self.generator, self.conditions, self.config, self.path = generator, conditions, config, path
        self._prompts = [None]
        if config.guidance != 1.0:
            self._prompts.append(generator.negative_prompt)
        self._memories = [generator.remember_context(conditions, p) if config.sparse else None for p in self._prompts]

    def velocity(self, x: Float[Tensor, "b c t h w"], now: Float[Tensor, " b"]) -> Float[Tensor, "b c t h w"]:
        """The velocity, moved away from that of the negative prompt by `guidance` (Ho and Salimans 2022)."""
        wanted, *unwanted = (
            self.generator.velocity(x, now, self.conditions, path=self.path, memory=memory, prompt=prompt)
            for prompt, memory in zip(self._prompts, self._memories, strict=True)
        )
        return torch.lerp(unwanted[0], wanted, self.config.guidance) if unwanted else wanted


def _step(
    ask: _Ask,
    x: Float[Tensor, "b c t h w"],
    now: Float[Tensor, " b"],
    next_time: float,
    noise: Float[Tensor, "b c t h w"],
    random: torch.Generator,
) -> tuple[Float[Tensor, "b c t h w"], Float[Tensor, "b c t h w"]]:
    """The state at `next_time` and the noise in it."""
    path, render, phi = ask.path, ask.conditions.render_latent, ask.conditions.phi
    then, velocity = torch.full_like(now, next_time), ask.velocity(x, now)
    if next_time > 0.0 and ask.config.renoise:
        clean = predict_x0(path, x, velocity, now, phi)
        noise = _noise_like(render, random, ask.config.temperature)
        moved = path_state(path, clean, render, noise, then, phi).x_t
    else:
        moved = advance(path, x, velocity, now, then, phi)
    return held(path, moved, render, noise, (now, then), phi), noise


def _noise_like(latents: Tensor, random: torch.Generator, temperature: float) -> Tensor:
    noise = torch.randn(latents.shape, generator=random, device=random.device, dtype=latents.dtype)
    return temperature * noise.to(latents.device)
