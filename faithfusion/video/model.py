"""The generator: codec, backbone, context branch and prompt embedding under one configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.types import Window
from faithfusion.video.branch import BranchConfig, ContextBranch
from faithfusion.video.conditioning import ConditioningConfig, LatentConditions, pool_eig, rms_error
from faithfusion.video.schedule import ScheduleConfig, render_prior, token_to_latent
from faithfusion.video.vae import CodecConfig, build_codec
from faithfusion.video.wan import WanConfig, block_inputs, build_backbone, wan_forward


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that fixes the generator's architecture and its meaning of time; stored with the weights.

    Attributes:
        codec: video codec.
        wan: backbone.
        branch: context branch.
        conditioning: EIG to noise level.
        schedule: flow time.
        prompt_tokens: length of the one cached prompt embedding.
        prior: "render": the network predicts what remains after the best linear guess from the render and its
            calibrated error (`schedule.render_prior`); "none": the network's output is the velocity, as in Wan.
        signal_std: standard deviation of video colours in [-1, 1], brings expected errors to latent units.
    """

    codec: CodecConfig = field(default_factory=CodecConfig)
    wan: WanConfig = field(default_factory=WanConfig)
    branch: BranchConfig = field(default_factory=BranchConfig)
    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    prompt_tokens: int = 8
    prior: Literal["render", "none"] = "render"
    signal_std: float = 0.5


class Generator(nn.Module):
    """Velocity of render-conditioned video latents. `prompt` [P, E] stands in for a text encoder's cached output."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.codec = build_codec(config.codec)
        self.backbone = build_backbone(config.wan, config.codec.latent_channels)
        nn.init.zeros_(self.backbone.proj_out.weight)  # as Wan: the first prediction is zero
        nn.init.zeros_(self.backbone.proj_out.bias)
        self.branch = ContextBranch(config.branch, self.backbone)
        self.prompt = nn.Parameter(0.02 * torch.randn(config.prompt_tokens, config.wan.text_dim))

    def velocity(
        self, x_t: Float[Tensor, "b c t h w"], time: Float[Tensor, " b"], conditions: LatentConditions
    ) -> Float[Tensor, "b c t h w"]:
        """Velocity noise - x0 at flow time `time` in [0, 1]; latent sides must be even."""
        prompt = self.prompt.expand(x_t.shape[0], -1, -1)
        inputs = block_inputs(self.backbone, x_t, time, prompt)
        output = wan_forward(self.backbone, x_t, inputs, self.branch(x_t, conditions, inputs))
        if self.config.prior == "none":
            return output
        error_std = rms_error(conditions.phi, self.config.conditioning) / self.config.signal_std
        mean, std = render_prior(x_t, conditions.render_latent, time, token_to_latent(error_std))
        return mean + std * output


def build_generator(config: GeneratorConfig, generator: torch.Generator) -> Generator:
    """A randomly initialised generator; the same `generator` state gives the same weights."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):  # the library modules draw from the global stream
        torch.manual_seed(seed)
        return Generator(config)


def latent_conditions(generator: Generator, windows: Sequence[Window]) -> LatentConditions:
    """Encodes the renders and pools the EIG of windows of one size (4k + 1 frames, sides multiples of 16)."""
    device = generator.prompt.device
    renders = torch.stack([window.render for window in windows])
    pooled = [pool_eig(window.eig, window.known, generator.config.conditioning) for window in windows]
    return LatentConditions(
        render_latent=generator.codec.encode(to_video(renders).to(device)),
        eig_block=torch.stack([block for block, _ in pooled]).to(device),
        phi=torch.stack([phi for _, phi in pooled]).to(device),
    )


def to_video(frames: Float[Tensor, "b t h w 3"]) -> Float[Tensor, "b 3 t h w"]:
    """Frames in [0, 1] to the codec's layout in [-1, 1]."""
    return (2.0 * frames.float() - 1.0).permute(0, 4, 1, 2, 3).contiguous()


def to_frames(video: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b t h w 3"]:
    """The codec's layout in [-1, 1] to frames, clamped to [0, 1]."""
    return (0.5 * video + 0.5).clamp(0.0, 1.0).permute(0, 2, 3, 4, 1)
