"""Distribution matching distillation: a generator of many steps becomes one of few (DMD2, Yin et al. 2024b).

The student makes clips in the few steps of the sampler. What it makes is noised to a random time of the path; there the
frozen teacher, which knows the true distribution, and the critic, which learns the student's own by flow matching, say
what it should be. Their difference is the direction in which the student's distribution is wrong:

    gradient of x0 = (critic's x0 - teacher's x0) / mean |student's x0 - teacher's x0|     (Yin et al. 2024a, eq. 7, 8)

DMD2's third part, a GAN against real images, is left out: it corrects a teacher that is worse than its data, at the
price of a discriminator to balance; here `regression_weight` may pull the student to the true clip of each pair. Nor is
classifier-free guidance needed: render and EIG condition teacher and student alike, and neither is guided.
Tokens with phi = 0 are given; nothing is learned about them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.distributed
from jaxtyping import Bool, Float
from torch import Tensor, nn

from faithfusion.training.data import LatentBatch
from faithfusion.training.flow import draw_conditions, draw_times, loss_by_decile
from faithfusion.training.method_config import DistributionMatchingConfig, PhiConfig
from faithfusion.video.model.conditioning import LatentConditions
from faithfusion.video.model.config import GeneratorConfig, PathName
from faithfusion.video.model.paths import held, path_phi, path_state, path_times, predict_x0
from faithfusion.video.model.time_schedule import per_sample

CRITIC = "critic"


@runtime_checkable
class Denoiser(Protocol):
    """A generator, as far as this method knows it."""

    config: GeneratorConfig

    def velocity(
        self, x_t: Float[Tensor, "b c t h w"], time: Float[Tensor, " b"], conditions: LatentConditions
    ) -> Float[Tensor, "b c t h w"]: ...


@dataclass(frozen=True)
class Trio:
    """The three networks."""

    student: Denoiser
    teacher: Denoiser
    critic: Denoiser

    @property
    def path(self) -> PathName:
        """The path that all three were made for."""
        return self.student.config.schedule.path


@dataclass(frozen=True)
class FewStepState:
    """The state that the student sees at one of its steps, and the cells that it then moves."""

    x_t: Float[Tensor, "b c t h w"]
    time: Float[Tensor, " b"]
    counts: Bool[Tensor, "b 1 t h w"]


class StudentRole(nn.Module):
    """Matches the student's distribution to the teacher's. Its registered submodules are what the student trains."""

    def __init__(self, config: DistributionMatchingConfig, phi: PhiConfig, trio: Trio) -> None:
        super().__init__()
        self._config, self._phi = config, phi
        self._trio = (trio,)  # in a tuple, so that nothing of it is registered

    def forward(self, batch: LatentBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one micro-batch and what to log; every draw comes from `generator` (on the batch's device)."""
        conditions = draw_conditions(batch, self._phi, generator)
        return student_loss(self._trio[0], batch, conditions, self._config, generator)


class CriticRole(StudentRole):
    """Follows the student's distribution. Its registered submodules are what the critic trains."""

    def forward(self, batch: LatentBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """See `StudentRole.forward`."""
        conditions = draw_conditions(batch, self._phi, generator)
        return critic_loss(self._trio[0], batch, conditions, self._config, generator), {}


def student_loss(
    trio: Trio,
    batch: LatentBatch,
    conditions: LatentConditions,
    config: DistributionMatchingConfig,
    random: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Half the squared distance of x0 to where the gradient points, per counted cell, plus the regression term; and
    what to log. `conditions` are those of `batch`, perhaps with another phi."""
    state = few_step_state(trio.student, batch.truth_latent, conditions, config, random)
    x0 = student_x0(trio.student, state, conditions)
    direction, counts = matching_direction(trio, x0.detach(), state.counts, conditions, random)
    matching = masked_mean(0.5 * (x0 - (x0 - direction).detach()).square(), counts)
    squared = (x0 - batch.truth_latent).square().mean(1, keepdim=True)
    regression = masked_mean(squared, state.counts)
    values = {"matching": matching, "squared_error": regression, "counted_share": counts.float().mean()}
    values |= loss_by_decile(squared.detach(), state.counts, batch.conditions.phi)
    return matching + config.regression_weight * regression, values


def critic_loss(
    trio: Trio,
    batch: LatentBatch,
    conditions: LatentConditions,
    config: DistributionMatchingConfig,
    random: torch.Generator,
) -> Tensor:
    """Flow matching on what the student makes, with the student's clip in place of the true one."""
    with torch.no_grad():
        state = few_step_state(trio.student, batch.truth_latent, conditions, config, random)
        x0 = student_x0(trio.student, state, conditions)
    time = draw_times(conditions.phi, trio.critic.config.schedule, random)
    noised = path_state(trio.path, x0, conditions.render_latent, noise_like(x0, random), time, conditions.phi)
    velocity = trio.critic.velocity(noised.x_t, time, conditions).float()
    return masked_mean((velocity - noised.target).square(), noised.counts & state.counts)


@torch.no_grad()
def few_step_state(
    student: Denoiser,
    truth: Float[Tensor, "b c t h w"],
    conditions: LatentConditions,
    config: DistributionMatchingConfig,
    random: torch.Generator,
) -> FewStepState:
    """The state before one of the sampler's steps, the same one (in parts of all) for every sample and process.

    With `simulate` the student's own passes lead there, as in `editing.sample` with `renoise`: predict the clip, take
    new noise to the next time of the list.
    """
    schedule, phi, render = student.config.schedule, conditions.phi, conditions.render_latent
    path = schedule.path
    largest = path_phi(path, phi, render).flatten(1).amax(1).tolist()
    # a clip that is certain everywhere has no steps; nothing of it counts, whatever its time
    lists = [path_times(path, config.steps, schedule, phi_max)[:-1] or [1.0] for phi_max in largest]
    chance = _shared(float(torch.rand((), generator=random, device=random.device)), render.device)
    chosen = [int(chance * len(times)) for times in lists]
    now = _column(lists, [0] * len(lists), render)
    x = path_state(path, render, render, noise_like(render, random), now, phi).x_t
    if not config.simulate:
        now = _column(lists, chosen, render)
        x = path_state(path, truth, render, noise_like(render, random), now, phi).x_t
    passes = _largest_everywhere(max(chosen), render.device) if config.simulate else 0
    for step in range(passes):  # as many on every process: sharded weights are gathered together
        clean = predict_x0(path, x, student.velocity(x, now, conditions).float(), now, phi)
        then = _column(lists, [min(step + 1, last) for last in chosen], render)
        noise = noise_like(render, random)
        moved = path_state(path, clean, render, noise, then, phi).x_t
        moved = held(path, moved, render, noise, (now, then), phi)
        x = torch.where(per_sample(now - then, x) > 0.0, moved, x)
        now = then
    cells = path_phi(path, phi, x)
    return FewStepState(x, now, cells >= per_sample(now, x) if path == "hold" else cells > 0.0)


def student_x0(student: Denoiser, state: FewStepState, conditions: LatentConditions) -> Float[Tensor, "b c t h w"]:
    """The clip that the student sees in a state; the render where nothing counts."""
    velocity = student.velocity(state.x_t, state.time, conditions).float()
    x0 = predict_x0(student.config.schedule.path, state.x_t, velocity, state.time, conditions.phi)
    return torch.where(state.counts, x0, conditions.render_latent)


@torch.no_grad()
def matching_direction(
    trio: Trio,
    x0: Float[Tensor, "b c t h w"],
    counts: Bool[Tensor, "b 1 t h w"],
    conditions: LatentConditions,
    random: torch.Generator,
) -> tuple[Float[Tensor, "b c t h w"], Bool[Tensor, "b 1 t h w"]]:
    """The gradient of x0 at one random time, normalised per sample, and the cells that have one."""
    phi = conditions.phi
    time = draw_times(phi, trio.teacher.config.schedule, random)
    noised = path_state(trio.path, x0, conditions.render_latent, noise_like(x0, random), time, phi)
    real, fake = (
        predict_x0(trio.path, noised.x_t, network.velocity(noised.x_t, time, conditions).float(), time, phi)
        for network in (trio.teacher, trio.critic)
    )
    counts = counts & noised.counts
    cells = counts.expand_as(x0).flatten(1)
    distance = ((x0 - real).abs().flatten(1) * cells).sum(1) / cells.sum(1).clamp_min(1)
    return (fake - real) / per_sample(distance.clamp_min(1e-6), x0) * counts, counts


def masked_mean(values: Float[Tensor, "b c t h w"], counts: Bool[Tensor, "b 1 t h w"]) -> Float[Tensor, ""]:
    """Mean over the cells that count; 0 if none does."""
    return (values * counts).sum() / (counts.sum() * values.shape[1]).clamp_min(1)


def noise_like(latents: Tensor, random: torch.Generator) -> Tensor:
    """Gaussian noise of the size of `latents`."""
    return torch.randn(latents.shape, generator=random, device=random.device)


def _column(lists: list[list[float]], places: list[int], like: Tensor) -> Float[Tensor, " b"]:
    return torch.tensor([times[place] for times, place in zip(lists, places, strict=True)], device=like.device)


def _is_alone() -> bool:
    return not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1


def _shared(value: float, device: torch.device) -> float:
    """The first process's value."""
    if _is_alone():
        return value
    packed = torch.tensor([value], dtype=torch.float64, device=device)
    torch.distributed.broadcast(packed, src=0)
    return float(packed)


def _largest_everywhere(value: int, device: torch.device) -> int:
    """The largest value of all processes."""
    if _is_alone():
        return value
    packed = torch.tensor([value], device=device)
    torch.distributed.all_reduce(packed, op=torch.distributed.ReduceOp.MAX)
    return int(packed)
