"""Wan2.1's public weights for this project's models: opened, checked against the configuration, then read.

Sizes are compared from the files' headers before a value is read, and the tensors are mapped, so a wrong 57 GB file
costs a second and a right one no second copy. All states are in diffusers' names.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from faithfusion.utils.errors import InputError
from faithfusion.video.model.config import WanConfig, WanVaeConfig
from faithfusion.video.model.spec import BackboneSpec
from faithfusion.video.weights.weight_files import Part, WeightFiles, open_source, read_shapes, read_tensors
from faithfusion.video.weights.weight_layouts import Match, match, require_kind

SAMPLES = 4  # values at either end of a tensor in a fingerprint


@dataclass(frozen=True)
class VaceWeights:
    """A VACE adapter: `vace_patch_embedding.*` and `vace_blocks.N.*`; block n is added after layer `layers[n]`."""

    state: dict[str, Tensor]
    layers: tuple[int, ...]


@dataclass(frozen=True)
class VaeWeights:
    """A VAE and the statistics of its latents, one per channel."""

    state: dict[str, Tensor]
    latents_mean: tuple[float, ...]
    latents_std: tuple[float, ...]


def load_backbone(
    source: str, config: WanConfig, latent_channels: int, dtype: torch.dtype | None = None
) -> dict[str, Tensor]:
    """The DiT of a T2V or VACE source, on the CPU. `dtype` None keeps the file's.

    Raises InputError for what `open_source` and `layouts.match` refuse, and for weights of other sizes than `config`.
    """
    weights, found = inspect_source(source, "transformer")
    require_kind(found, ("dit", "vace"), weights.where)
    _require_sizes(weights, found, config, {"inputs": latent_channels, "outputs": latent_channels})
    return read_tensors(weights, _part_of(found, adapter=False), dtype)


def load_vace_adapter(
    source: str, config: WanConfig, latent_channels: int = 16, dtype: torch.dtype | None = None
) -> VaceWeights:
    """The VACE adapter for a backbone of `config`, from a file with or without the backbone.

    Raises InputError as `load_backbone`, and if the adapter's blocks cannot be spread over the backbone's layers.
    """
    weights, found = inspect_source(source, "transformer")
    require_kind(found, ("vace", "vace_adapter"), weights.where)
    _require_sizes(weights, found, config, {"context": BackboneSpec(latent_channels).vace_channels})
    layers = vace_layers(found.symbols["adapters"], config.num_layers, weights)
    return VaceWeights(read_tensors(weights, _part_of(found, adapter=True), dtype), layers)


def load_vae(
    source: str, config: WanVaeConfig, latent_channels: int = 16, dtype: torch.dtype | None = None
) -> VaeWeights:
    """Wan's VAE. Latent statistics from its config.json, else the published ones of Wan2.1.

    Raises InputError as `load_backbone`, and without statistics for a VAE of another number of channels.
    """
    weights, found = inspect_source(source, "vae")
    require_kind(found, ("vae",), weights.where)
    sizes, channels = vae_config(found), found.symbols["latent"]
    if sizes != config or channels != latent_channels:
        raise InputError(weights.where, f"a VAE of {sizes}, {channels} channels", f"{config}, {latent_channels}")
    mean, std = (weights.config.get(name) or published_statistics()[name] for name in ("latents_mean", "latents_std"))
    if len(mean) != channels or len(std) != channels:
        raise InputError(weights.where, f"{len(mean)} latent means", f"{channels} in config.json (latents_mean, _std)")
    return VaeWeights(read_tensors(weights, found.names, dtype), tuple(mean), tuple(std))


def inspect_source(source: str, part: Part) -> tuple[WeightFiles, Match]:
    """The files of a part and what they hold, from their headers alone. Raises InputError for anything unknown."""
    weights = open_source(source, part)
    return weights, match(read_shapes(weights), weights.where)


def vae_config(found: Match) -> WanVaeConfig:
    """The sizes of a VAE as a configuration."""
    one, two, three, four = (found.symbols[f"level{level}"] for level in range(4))
    return WanVaeConfig(found.symbols["base"], (one, two, three, four), found.symbols["blocks"])


def vace_layers(num_blocks: int, num_layers: int, weights: WeightFiles | None = None) -> tuple[int, ...]:
    """Backbone layers whose output gets an adapter block's: as config.json says, else spread evenly from 0 as in both
    published models (0, 2, .. 28 of 30; 0, 5, .. 35 of 40)."""
    config = {} if weights is None else weights.config
    where = "VACE" if weights is None else weights.where
    spread = tuple(range(0, num_layers, max(num_layers // num_blocks, 1)))
    layers = tuple(config.get("vace_layers") or spread)
    if len(layers) != num_blocks or max(layers) >= num_layers:
        raise InputError(where, f"{num_blocks} adapter blocks at {list(layers)}", f"one each, below {num_layers}")
    return layers


def published_statistics() -> dict[str, list[float]]:
    """`latents_mean` and `latents_std` of the Wan2.1 VAE, 16 numbers each, as diffusers publishes them."""
    from diffusers import AutoencoderKLWan  # seconds to import

    parameters = inspect.signature(AutoencoderKLWan.__init__).parameters
    return {name: list(parameters[name].default) for name in ("latents_mean", "latents_std")}


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Hash of a state in diffusers' names: names, shapes, the first and the last values of every tensor.

    Values are compared in bfloat16, so the same weights have one fingerprint in every layout and in float32 and
    bfloat16. Takes a tenth of a second for weights in memory; of mapped ones the ends of the tensors are read.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        values = state[name].detach().flatten()
        bits = torch.cat([values[:SAMPLES], values[-SAMPLES:]]).to("cpu", torch.bfloat16).view(torch.int16)
        digest.update(f"{name} {list(state[name].shape)} {bits.tolist()}\n".encode())
    return digest.hexdigest()[:32]


def _part_of(found: Match, adapter: bool) -> dict[str, str]:
    return {name: original for name, original in found.names.items() if name.startswith("vace_") == adapter}


def _require_sizes(weights: WeightFiles, found: Match, config: WanConfig, channels: Mapping[str, int]) -> None:
    """Compares what the shapes tell with the configuration; the number of heads only where config.json tells it."""
    wanted = {"layers": config.num_layers, "dim": config.dim, "ffn": config.ffn_dim, **channels}
    wanted |= {"text": config.text_dim, "freq": config.freq_dim}
    if found.kind == "vace_adapter":
        del wanted["layers"]
    sizes = dict(found.symbols)
    heads = weights.config.get("num_heads", weights.config.get("num_attention_heads"))
    if isinstance(heads, int):
        sizes["heads"], wanted["heads"] = heads, config.num_heads
    wrong = [name for name, size in wanted.items() if sizes.get(name, size) != size]
    if wrong:
        expected = ", ".join(f"{name} {wanted[name]}" for name in wrong)
        facts = ", ".join(f"{name} {sizes[name]}" for name in wrong)
        raise InputError(weights.where, f"{found.describe()}: {facts}", f"the configured model: {expected}")
