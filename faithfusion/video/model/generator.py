"""The generator: codec, backbone, context branch, prompt embedding and head under one configuration."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.video.model.attention import (
    Attend,
    ContextMemory,
    FullAttention,
    PrefixAttention,
    RecordContext,
    UseContext,
)
from faithfusion.video.model.block import BlockInputs
from faithfusion.video.model.branch import ContextBranch
from faithfusion.video.model.codecs.base import NormalisedCodec, build_codec
from faithfusion.video.model.conditioning import LatentConditions, rms_error, split_warped
from faithfusion.video.model.config import GeneratorConfig, PathName
from faithfusion.video.model.fixers.head import PixelHead
from faithfusion.video.model.lora import add_lora
from faithfusion.video.model.mixture import mixture
from faithfusion.video.model.paths import network_scale, phi_index, render_prior, time_levels
from faithfusion.video.model.time_schedule import token_to_latent
from faithfusion.video.model.wan import (
    TokenTimes,
    WanBackbone,
    block_inputs,
    build_backbone,
    last_tokens,
    patchify,
    unpatchify,
)


class Generator(nn.Module):
    """Velocity of render-conditioned video latents. `prompt` [P, E] stands in for a text encoder's cached output, and
    so does `negative_prompt`, if there is one, for guidance.

    `backbone` and `codec` are taken over if given, else random. `head`, if there is one, finishes what was decoded.
    """

    negative_prompt: Tensor | None
    head: PixelHead | None

    def __init__(
        self, config: GeneratorConfig, backbone: WanBackbone | None = None, codec: NormalisedCodec | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.codec = codec or build_codec(config.codec)
        if backbone is None:
            backbone = build_backbone(config.wan, config.codec.latent_channels)
            nn.init.zeros_(backbone.proj_out.weight)  # as Wan: the first prediction is zero
            nn.init.zeros_(backbone.proj_out.bias)
        self.backbone = backbone
        self.branch = ContextBranch(config.branch, self.backbone, config.spec)
        self.prompt = nn.Parameter(0.02 * torch.randn(config.prompt_tokens, config.wan.text_dim))
        self.register_buffer("negative_prompt", None, persistent=False)
        add_lora(self.backbone, config.lora)
        self.head = None if config.head is None else PixelHead(config.head, config.conditioning)

    def prepare(self, conditions: LatentConditions) -> LatentConditions:
        """The conditions with keys and values of the references, for many calls of `velocity`."""
        if conditions.references is None or not self.config.branch.references:
            return conditions
        keys = self.branch.references.keys_values(conditions.references)
        return dataclasses.replace(conditions, reference_keys=keys)

    def velocity(
        self,
        x_t: Float[Tensor, "b c t h w"],
        time: Float[Tensor, " b"],
        conditions: LatentConditions,
        *,
        path: PathName | None = None,
        memory: ContextMemory | None = None,
        prompt: Float[Tensor, "p e"] | None = None,
    ) -> Float[Tensor, "b c t h w"]:
        """Velocity along `path` (None: the one trained for) at flow time `time` in [0, 1]; latent sides must be
        whole numbers of tokens.

        With `memory` only the tokens that are not in it are computed; the velocity of the others is 0 where a network
        without prior gives it, and without use in any case. `prompt`: another one than the generator's own.
        """
        path = path or self.config.schedule.path
        prompt = self.prompt if prompt is None else prompt
        output, logits = self._network(x_t, time, conditions, path, memory, prompt)
        if self.config.prior == "none":
            return network_scale(path, conditions.phi, output) * output
        error_std = rms_error(conditions.phi, self.config.conditioning) / self.config.signal_std
        cells = token_to_latent(error_std, output)
        guess = None
        if logits is not None:
            views, trust = split_warped(conditions.warped, self.config.branch.warped)
            guess = mixture(conditions.render_latent, views, trust, logits)
        mean, std = render_prior(path, x_t, conditions.render_latent, time, conditions.phi, cells, guess)
        return mean + std * output

    @torch.no_grad()
    def remember_context(
        self, conditions: LatentConditions, prompt: Float[Tensor, "p e"] | None = None
    ) -> ContextMemory | None:
        """Keys and values of the tokens with phi = 0 of one clip (batch 1); None if there are none.

        Their content is the render, their time 0, at every step of bridge and per_token.
        """
        is_context = phi_index(conditions.phi).flatten() == 0
        if not is_context.any():
            return None
        memory = ContextMemory(active=(~is_context).nonzero()[:, 0])
        render = conditions.render_latent
        chosen = is_context.nonzero()[:, 0]
        times = TokenTimes(torch.zeros(1, 1, device=render.device))
        prompt = self.prompt if prompt is None else prompt
        self._tokens(render, times, conditions, prompt, RecordContext(memory), chosen)
        return memory

    def _network(
        self,
        x_t: Float[Tensor, "b c t h w"],
        time: Float[Tensor, " b"],
        conditions: LatentConditions,
        path: PathName,
        memory: ContextMemory | None,
        prompt: Float[Tensor, "p e"],
    ) -> tuple[Float[Tensor, "b c t h w"], Float[Tensor, "b m t h w"] | None]:
        """The network's output, and the logits of render and warped views if it mixes them."""
        index = phi_index(conditions.phi).flatten(1)
        times = TokenTimes(time[:, None]) if path == "hold" else TokenTimes(time_levels(time), index)
        attend: Attend = FullAttention()
        if memory is not None:
            attend = UseContext(memory)
        elif self.config.attention == "prefix":
            attend = PrefixAttention(index == 0)
        chosen = None if memory is None else memory.active
        tokens, inputs = self._tokens(x_t, times, conditions, prompt, attend, chosen)
        output = unpatchify(self.backbone.proj_out(tokens), inputs, x_t, self.backbone.patch)
        if not self.config.branch.mix_views:
            return output, None
        return output, unpatchify(self.branch.mixer(tokens), inputs, x_t, self.backbone.patch)

    def _tokens(
        self,
        x_t: Tensor,
        times: TokenTimes,
        conditions: LatentConditions,
        prompt: Tensor,
        attend: Attend,
        chosen: Tensor | None,
    ) -> tuple[Float[Tensor, "b l d"], BlockInputs]:
        """Backbone and branch on the tokens at the places `chosen`, up to the last layer."""
        prompts = prompt.expand(x_t.shape[0], -1, -1)
        inputs = block_inputs(self.backbone, x_t, times, prompts, attend, chosen)
        tokens = patchify(self.backbone.patch_embedding, x_t, chosen)
        samples = self.branch(x_t, tokens, conditions, inputs)
        return last_tokens(self.backbone, tokens, inputs, samples, self.branch.injection), inputs


def build_generator(
    config: GeneratorConfig,
    generator: torch.Generator,
    backbone: WanBackbone | None = None,
    codec: NormalisedCodec | None = None,
) -> Generator:
    """A generator with random weights, but for the parts that are given; the same `generator` state gives the same."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):  # the library modules draw from the global stream
        torch.manual_seed(seed)
        return Generator(config, backbone, codec)
