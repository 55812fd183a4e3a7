"""A generator on public weights: Wan2.1's backbone, VACE's adapter, the VAE and a prompt, from where they lie."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed
from torch import Tensor, nn

from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator
from faithfusion.video.model.codecs.wan import WanVae
from faithfusion.video.model.config import GeneratorConfig, WanConfig
from faithfusion.video.model.generator import Generator, build_generator
from faithfusion.video.model.memory import keeps_float32
from faithfusion.video.model.wan import WanBackbone, build_backbone
from faithfusion.video.weights.pretrained import load_backbone, load_vace_adapter, load_vae
from faithfusion.video.weights.prompt import load_prompt_file


def assemble_generator(config: GeneratorConfig, random: torch.Generator | None = None) -> Generator:
    """A generator with the public weights that `config.pretrained` names, and `random` ones elsewhere.

    The backbone keeps the precision of its file, except for norms and times in float32, and is mapped rather than
    copied where it can be. Raises InputError for weights of another model than the configured one, and for a prompt
    of another length.
    """
    public = config.pretrained
    backbone = codec = None
    if public.model:
        backbone = public_backbone(load_backbone(public.model, config.wan, config.codec.latent_channels), config)
    if public.codec_source:
        codec = _public_codec(config)
    generator = build_generator(config, random or make_generator(0, "assemble"), backbone, codec)
    if public.model and config.branch.init == "vace":
        adapter = load_vace_adapter(public.model, config.wan, config.codec.latent_channels)
        layers = tuple(layer for layer, sample in enumerate(generator.branch.injection) if sample >= 0)
        if adapter.layers != layers:
            raise InputError(public.model, f"adapter after layers {list(adapter.layers)}", f"{list(layers)}")
        generator.branch.load_vace(adapter.state)
    if public.prompt:
        _set_prompt(generator, public.prompt)
    return generator


def public_backbone(state: Mapping[str, Tensor], config: GeneratorConfig) -> WanBackbone:
    """The backbone around tensors in diffusers' names, which it takes over as they are."""
    backbone = empty_backbone(config.wan, config.codec.latent_channels)
    backbone.rope = _rope(config.wan)
    exact = {name: value.float() if keeps_float32(name) else value for name, value in state.items()}
    backbone.load_state_dict(exact, assign=True)
    return backbone


def empty_backbone(config: WanConfig, latent_channels: int) -> WanBackbone:
    """The backbone's modules without memory for their weights (on the meta device)."""
    with torch.device("meta"):
        return build_backbone(config, latent_channels)


def _rope(config: WanConfig) -> nn.Module:
    return WanRotaryPosEmbed(config.head_dim, (1, config.patch, config.patch), config.rope_max_len)


def _public_codec(config: GeneratorConfig) -> WanVae:
    if config.codec.name != "wan":
        raise InputError("generator.codec.name", config.codec.name, "wan, because public weights are given")
    weights = load_vae(config.pretrained.codec_source, config.codec.wan, config.codec.latent_channels)
    codec = WanVae(config.codec)
    codec.vae.load_state_dict({name: value.float() for name, value in weights.state.items()})
    codec.set_statistics(torch.tensor(weights.latents_mean), torch.tensor(weights.latents_std))
    return codec


def _set_prompt(generator: Generator, path: str) -> None:
    stored, rows = load_prompt_file(path, generator.config.wan.text_dim), generator.config.prompt_tokens
    if stored.prompt.shape[0] != rows:
        found = f"an embedding of {stored.prompt.shape[0]} rows"
        raise InputError(path, found, f"{rows} rows as generator.prompt_tokens")
    generator.prompt.data.copy_(stored.prompt)
    if stored.negative is not None:
        generator.negative_prompt = stored.negative.to(generator.prompt)
