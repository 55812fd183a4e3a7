"""Flow matching on the states that the sampler visits along the path of the weights (`video.model.paths`)."""

from __future__ import annotations

import dataclasses

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from faithfusion.training.data import LatentBatch
from faithfusion.training.method_config import FlowConfig, PhiConfig, Trainable
from faithfusion.training.phi_fields import draw_history, draw_phi
from faithfusion.video.model.conditioning import LatentConditions
from faithfusion.video.model.config import ScheduleConfig
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.lora import lora_names, lora_tree
from faithfusion.video.model.paths import path_phi, path_state, rounded_phi
from faithfusion.video.model.time_schedule import sample_training_times, token_to_latent

DECILES = 10


class FlowMethod(nn.Module):
    """Flow matching. Its registered submodules are what is trained, under the generator's own parameter names."""

    def __init__(self, config: FlowConfig, generator: Generator) -> None:
        super().__init__()
        self._config = config
        self._hidden_generator = (generator,)  # the tuple keeps frozen parts unregistered, hence outside the engine
        register_trained(self, generator, config.trainable)

    def forward(self, batch: LatentBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one micro-batch and what to log; every draw comes from `generator` (on the batch's device)."""
        model = self._hidden_generator[0]
        schedule = model.config.schedule
        conditions = draw_conditions(batch, self._config.phi, generator)
        time = draw_times(conditions.phi, schedule, generator)
        noise = torch.randn(batch.truth_latent.shape, generator=generator, device=generator.device)
        state = path_state(schedule.path, batch.truth_latent, conditions.render_latent, noise, time, conditions.phi)
        velocity = model.velocity(state.x_t, time, conditions).float()
        squared = (velocity - state.target).square().mean(1, keepdim=True)
        rising = 1.0 + self._config.phi_weight * path_phi(schedule.path, conditions.phi, squared)
        weight = torch.where(state.counts, rising, self._config.held_weight)
        loss = (weight * squared).sum() / weight.sum().clamp_min(1e-6)
        return loss, _measurements(squared.detach(), state.counts, batch.conditions.phi)


def register_trained(owner: nn.Module, generator: Generator, trainable: Trainable) -> None:
    """Makes the trained parts of `generator` submodules of `owner`, under the generator's own parameter names.

    "branch": the branch, and low-rank updates of the backbone where it has them; "all": branch, backbone and prompt
    embedding. All other weights of the generator want no gradient from now on.
    """
    generator.requires_grad_(False)
    owner.branch = generator.branch.requires_grad_(True)
    if trainable == "all":
        owner.backbone = generator.backbone.requires_grad_(True)
        owner.prompt = generator.prompt.requires_grad_(True)
    elif lora_names(generator.backbone):
        owner.backbone = lora_tree(generator.backbone).requires_grad_(True)


def draw_conditions(batch: LatentBatch, config: PhiConfig, generator: torch.Generator) -> LatentConditions:
    """The window's conditions with phi of a random family and, for some, true content as exact history."""
    own = batch.conditions
    phi = draw_phi(own.phi, config, generator)
    history = draw_history(phi.shape[0], phi.shape[1], config.history, generator)
    frames = history[:, None, :, None, None]
    # as `pool_eig` writes known frames: no error in any channel but the last one, the coverage
    certain = torch.cat([torch.zeros_like(own.eig_block[:, :-1]), own.eig_block[:, -1:]], dim=1)
    return dataclasses.replace(
        own,
        render_latent=torch.where(frames, batch.truth_latent, own.render_latent),
        eig_block=torch.where(frames, certain, own.eig_block),
        phi=torch.where(history[:, :, None, None], 0.0, phi),
        vace=None if own.vace is None else torch.where(frames, _vace_history(own.vace, batch.truth_latent), own.vace),
    )


def _vace_history(vace: Float[Tensor, "b v t h w"], truth_latent: Tensor) -> Float[Tensor, "b v t h w"]:
    """VACE's context of frames that are given: the truth as inactive latent, nothing to regenerate."""
    channels = truth_latent.shape[1]
    return torch.cat([truth_latent, vace[:, channels : 2 * channels], torch.zeros_like(vace[:, 2 * channels :])], dim=1)


def draw_times(
    phi: Float[Tensor, "b t th tw"], schedule: ScheduleConfig, generator: torch.Generator
) -> Float[Tensor, " b"]:
    """Flow times between the schedule's smallest and the window's largest phi: the sampler evaluates no others. Under
    bridge and per_token relative to the largest phi.

    A window with phi = 0 everywhere is never released; its times run up to 1, as if more were to come.
    """
    largest = (phi if schedule.path == "hold" else rounded_phi(phi)).flatten(1).amax(1)
    largest = torch.where(largest > 0.0, largest, 1.0)
    smallest = largest.clamp_max(schedule.min_time)
    time = smallest + (largest - smallest) * sample_training_times(phi.shape[0], schedule, generator)
    return time if schedule.path == "hold" else time / largest


def _measurements(
    squared: Float[Tensor, "b 1 t h w"], released: Bool[Tensor, "b 1 t h w"], phi: Float[Tensor, "b t th tw"]
) -> dict[str, Tensor]:
    values = {"released_share": released.float().mean()}
    values["loss_released"] = (squared * released).sum() / released.sum().clamp_min(1)
    return values | loss_by_decile(squared, released, phi)


def loss_by_decile(
    squared: Float[Tensor, "b 1 t h w"], released: Bool[Tensor, "b 1 t h w"], phi: Float[Tensor, "b t th tw"]
) -> dict[str, Tensor]:
    """Mean loss of the released cells in each tenth of the EIG order (phi is monotone in calibrated EIG).

    Decile 0 is the most certain one; 0 where none of its cells was released.
    """
    order = rearrange(token_to_latent(phi, squared), "b 1 t h w -> (b t h w)").argsort(stable=True)
    losses = (squared * released).flatten()[order].tensor_split(DECILES)
    counts = released.flatten()[order].tensor_split(DECILES)
    pairs = enumerate(zip(losses, counts, strict=True))
    return {f"loss_eig_decile_{index}": loss.sum() / count.sum().clamp_min(1) for index, (loss, count) in pairs}
