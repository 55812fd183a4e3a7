"""The way back: states in diffusers' names written as files that Wan-Video, DiffSynth and diffusers load."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError
from faithfusion.video.weights.pretrained import (
    HEAD_DIM,
    published_statistics,
    vace_layers,
    vae_config,
    wan_config,
)
from faithfusion.video.weights.prompt import umt5_config
from faithfusion.video.weights.weight_layouts import Kind, Layout, Match, from_diffusers, match

NAMES: dict[tuple[str, bool], str] = {  # kind, diffusers? -> file
    ("dit", False): "diffusion_pytorch_model.safetensors",
    ("dit", True): "transformer/diffusion_pytorch_model.safetensors",
    ("vae", False): "Wan2.1_VAE.pth",
    ("vae", True): "vae/diffusion_pytorch_model.safetensors",
    ("umt5", False): "models_t5_umt5-xxl-enc-bf16.pth",
    ("umt5", True): "text_encoder/model.safetensors",
}


@dataclass(frozen=True)
class Unsaid:
    """What config.json says and tensor shapes do not. `layers`: see `VaceWeights`, () = spread evenly; `mean`, `std`
    of latents: () = the published ones."""

    head_dim: int = HEAD_DIM
    layers: tuple[int, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def save_layout(
    state: Mapping[str, Tensor],
    layout: Layout,
    folder: Path,
    unsaid: Unsaid | None = None,
    max_shard: str = "5GB",
) -> list[Path]:
    """Writes the weights and their config.json into `folder` as `open_source` finds them; returns the files of weights.

    `state`: a DiT, VACE, VAE or UMT5 encoder, told by its names. Safetensors larger than `max_shard` are split.
    Raises InputError if it is not exactly one of these, or if the folder holds such weights already.
    """
    found = match({name: tuple(value.shape) for name, value in state.items()})
    named = from_diffusers(state, found.kind, layout)
    tensors = {name: value.detach().cpu().contiguous() for name, value in named.items()}
    path = folder / NAMES[_file_kind(found.kind), layout == "diffusers"]
    if layout == "diffsynth" and found.kind == "vae":
        path = path.with_suffix(".safetensors")
    if any(path.parent.glob(f"{path.stem}*")):
        raise InputError(path.parent, f"{path.stem}* is there already", "a folder without it")
    config = model_config(found, layout, unsaid or Unsaid())
    if config:
        with atomic_file(path.parent / "config.json") as temporary:
            temporary.write_text(json.dumps(config, indent=2) + "\n")
    if path.suffix == ".pth":
        with atomic_file(path) as temporary:
            torch.save(tensors, temporary)
        return [path]
    return _save_shards(tensors, path, max_shard)


def _file_kind(kind: Kind) -> str:
    return "dit" if kind.startswith("vace") else kind


def _save_shards(tensors: Mapping[str, Tensor], path: Path, max_shard: str) -> list[Path]:
    from huggingface_hub import split_torch_state_dict_into_shards

    pattern = f"{path.stem}{{suffix}}{path.suffix}"
    plan = split_torch_state_dict_into_shards(dict(tensors), filename_pattern=pattern, max_shard_size=max_shard)
    paths = []
    for file_name, names in plan.filename_to_tensors.items():
        paths.append(path.with_name(file_name))
        with atomic_file(paths[-1]) as temporary:
            save_file({name: tensors[name] for name in names}, temporary, metadata={"format": "pt"})
    if plan.is_sharded:
        with atomic_file(path.with_name(path.name + ".index.json")) as temporary:
            index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
            temporary.write_text(json.dumps(index, indent=2) + "\n")
    return paths


def model_config(found: Match, layout: Layout, unsaid: Unsaid) -> dict[str, Any]:
    """config.json as the layout's own loader wants it; {} where it has none."""
    if found.kind in ("dit", "vace"):
        return _dit_config(found, unsaid) if layout == "diffusers" else _official_dit_config(found, unsaid)
    if layout != "diffusers" or found.kind == "vace_adapter":
        return {}
    if found.kind == "umt5":
        return {"architectures": ["UMT5EncoderModel"], "model_type": "umt5", **umt5_config(found)}
    sizes, published = vae_config(found), {} if unsaid.mean and unsaid.std else published_statistics()
    return {
        "_class_name": "AutoencoderKLWan",
        "base_dim": sizes.base_dim,
        "z_dim": found.symbols["latent"],
        "dim_mult": list(sizes.dim_mult),
        "num_res_blocks": sizes.num_res_blocks,
        "temperal_downsample": [False, True, True],
        "latents_mean": list(unsaid.mean) or published["latents_mean"],
        "latents_std": list(unsaid.std) or published["latents_std"],
    }


def _dit_config(found: Match, unsaid: Unsaid) -> dict[str, Any]:
    sizes = wan_config(found, unsaid.head_dim)
    config = {
        "_class_name": "WanTransformer3DModel" if found.kind == "dit" else "WanVACETransformer3DModel",
        "patch_size": [1, 2, 2],
        "num_attention_heads": sizes.num_heads,
        "attention_head_dim": sizes.head_dim,
        "in_channels": found.symbols["inputs"],
        "out_channels": found.symbols["outputs"],
        "text_dim": sizes.text_dim,
        "freq_dim": sizes.freq_dim,
        "ffn_dim": sizes.ffn_dim,
        "num_layers": sizes.num_layers,
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
        "eps": 1e-6,
    }
    return config | _vace_config(found, unsaid, "vace_in_channels")


def _official_dit_config(found: Match, unsaid: Unsaid) -> dict[str, Any]:
    sizes = wan_config(found, unsaid.head_dim)
    config = {
        "_class_name": "WanModel" if found.kind == "dit" else "VaceWanModel",
        "model_type": "t2v" if found.kind == "dit" else "vace",
        "dim": sizes.dim,
        "eps": 1e-6,
        "ffn_dim": sizes.ffn_dim,
        "freq_dim": sizes.freq_dim,
        "in_dim": found.symbols["inputs"],
        "num_heads": sizes.num_heads,
        "num_layers": sizes.num_layers,
        "out_dim": found.symbols["outputs"],
        "text_dim": sizes.text_dim,
        "text_len": 512,
    }
    return config | _vace_config(found, unsaid, "vace_in_dim")


def _vace_config(found: Match, unsaid: Unsaid, channels: str) -> dict[str, Any]:
    if found.kind != "vace":
        return {}
    layers = unsaid.layers or vace_layers(found.symbols["adapters"], found.symbols["layers"])
    return {"vace_layers": list(layers), channels: found.symbols["context"]}
