"""Flow matching on the states that the hold sampler visits: some tokens released, the others re-noised renders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from faithfusion.utils.errors import InputError
from faithfusion.video.conditioning import LatentConditions
from faithfusion.video.model import Generator
from faithfusion.video.schedule import ScheduleConfig, flow_velocity, hold_state, sample_training_times, token_to_latent
from train_video.data import LatentBatch
from train_video.phi_fields import PhiConfig, draw_history, draw_phi

DECILES = 10


@dataclass(frozen=True)
class FlowConfig:
    """The flow-matching method.

    Attributes:
        trainable: "branch": backbone frozen and outside the engine (pretrained Wan); "all": backbone, branch and
            prompt embedding together (wan-tiny, which has no pretrained backbone).
        held_weight: Loss weight of tokens that are still held at the render, relative to released ones; the sampler
            does not use what the network says about them.
        phi: Families of noise-level fields.
    """

    trainable: Literal["branch", "all"] = "branch"
    held_weight: float = 0.0
    phi: PhiConfig = field(default_factory=PhiConfig)

    def __post_init__(self) -> None:
        if self.held_weight < 0:
            raise InputError("flow.held_weight", self.held_weight, "a weight of at least 0")


class FlowMethod(nn.Module):
    """Its registered submodules are what is trained, under the generator's own parameter names."""

    def __init__(self, config: FlowConfig, generator: Generator) -> None:
        super().__init__()
        self._config = config
        self._hidden_generator = (generator,)  # the tuple keeps frozen parts unregistered, hence outside the engine
        generator.requires_grad_(False)
        self.branch = generator.branch.requires_grad_(True)
        if config.trainable == "all":
            self.backbone = generator.backbone.requires_grad_(True)
            self.prompt = generator.prompt.requires_grad_(True)

    def forward(self, batch: LatentBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one micro-batch and what to log; every draw comes from `generator` (on the batch's device)."""
        model = self._hidden_generator[0]
        conditions = draw_conditions(batch, self._config.phi, generator)
        time = draw_times(conditions.phi, model.config.schedule, generator)
        noise = torch.randn(batch.truth_latent.shape, generator=generator, device=generator.device)
        x_t, released = hold_state(batch.truth_latent, conditions.render_latent, noise, time, conditions.phi)
        origin = torch.where(released, batch.truth_latent, conditions.render_latent)
        velocity = model.velocity(x_t, time, conditions).float()
        squared = (velocity - flow_velocity(origin, noise)).square().mean(1, keepdim=True)
        weight = torch.where(released, 1.0, self._config.held_weight)
        loss = (weight * squared).sum() / weight.sum().clamp_min(1e-6)
        return loss, _measurements(squared.detach(), released, batch.phi)


def draw_conditions(batch: LatentBatch, config: PhiConfig, generator: torch.Generator) -> LatentConditions:
    """The window's conditions with phi of a random family and, for some, true content as exact history."""
    phi = draw_phi(batch.phi, config, generator)
    history = draw_history(phi.shape[0], phi.shape[1], config.history, generator)
    frames = history[:, None, :, None, None]
    # as `pool_eig` writes known frames: no error in any channel but the last one, the coverage
    certain = torch.cat([torch.zeros_like(batch.eig_block[:, :-1]), batch.eig_block[:, -1:]], dim=1)
    return LatentConditions(
        render_latent=torch.where(frames, batch.truth_latent, batch.render_latent),
        eig_block=torch.where(frames, certain, batch.eig_block),
        phi=torch.where(history[:, :, None, None], 0.0, phi),
    )


def draw_times(
    phi: Float[Tensor, "b t th tw"], schedule: ScheduleConfig, generator: torch.Generator
) -> Float[Tensor, " b"]:
    """Flow times between the schedule's smallest and the window's largest phi: the sampler evaluates no others.

    A window with phi = 0 everywhere is never released; its times run up to 1, as if more were to come.
    """
    largest = phi.flatten(1).amax(1)
    largest = torch.where(largest > 0.0, largest, 1.0)
    smallest = largest.clamp_max(schedule.min_time)
    return smallest + (largest - smallest) * sample_training_times(phi.shape[0], schedule, generator)


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
    order = rearrange(token_to_latent(phi), "b 1 t h w -> (b t h w)").argsort(stable=True)
    losses = (squared * released).flatten()[order].tensor_split(DECILES)
    counts = released.flatten()[order].tensor_split(DECILES)
    pairs = enumerate(zip(losses, counts, strict=True))
    return {f"loss_eig_decile_{index}": loss.sum() / count.sum().clamp_min(1) for index, (loss, count) in pairs}
