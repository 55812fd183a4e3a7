"""Tiny random weights made by the upstream classes themselves: DiffSynth's for the official names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from faithfusion.video.model.config import WanConfig, WanVaeConfig
from faithfusion.video.weights.weight_layouts import match, umt5_config

pytest.importorskip("diffsynth", reason="needs the diffsynth extra")

HEADS, HEAD_DIM, DIM, FFN, TEXT, FREQ, CHANNELS, LAYERS = 2, 12, 24, 40, 20, 32, 4, 4
CONTEXT = 2 * CHANNELS + 64
VACE_LAYERS = (0, 3)  # not what spreading two blocks over four layers gives
BASE, LATENT = 8, 4
VOCABULARY, TEXT_LAYERS = 120, 2
KINDS = ("dit", "vace", "vace_adapter", "vae", "umt5")
MEAN, STD = [0.3, -0.2, 0.1, 0.5], [1.5, 0.7, 2.0, 1.2]
WAN = WanConfig(LAYERS, HEADS, HEAD_DIM, FFN, TEXT, FREQ)
VAE = WanVaeConfig(BASE)
TRANSFORMER = {
    "num_attention_heads": HEADS,
    "attention_head_dim": HEAD_DIM,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "text_dim": TEXT,
    "freq_dim": FREQ,
    "ffn_dim": FFN,
    "num_layers": LAYERS,
}
WORDS = [f"w{index}" for index in range(101)]
OFFICIAL_FILES = {"vae": "Wan2.1_VAE.pth", "umt5": "models_t5_umt5-xxl-enc-bf16.pth"}


def scrambled(model: nn.Module, seed: int) -> nn.Module:
    """Every parameter random and of a useful size, norms and biases too, so that no swap goes unseen."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        near_one = parameter.ndim < 2 and "bias" not in name or "gamma" in name
        fan_in = max(parameter[0].numel(), 1) if parameter.ndim > 1 else 25.0
        fan_in *= 16.0 if name.endswith(".attn.q.weight") else 1.0  # UMT5 divides no logits
        parameter.data = (1.0 + 0.2 * noise) if near_one else noise * fan_in**-0.5
    return model.eval().requires_grad_(False)


def diffsynth_dit() -> nn.Module:
    from diffsynth.models.wan_video_dit import WanModel

    sizes = {"dim": DIM, "in_dim": CHANNELS, "ffn_dim": FFN, "out_dim": CHANNELS, "text_dim": TEXT, "freq_dim": FREQ}
    shape = {"eps": 1e-6, "patch_size": (1, 2, 2), "num_heads": HEADS, "num_layers": LAYERS, "has_image_input": False}
    return scrambled(WanModel(**sizes, **shape), 1)


def diffsynth_vace() -> nn.Module:
    from diffsynth.models.wan_video_vace import VaceWanModel

    sizes = {"vace_layers": VACE_LAYERS, "vace_in_dim": CONTEXT, "dim": DIM, "num_heads": HEADS, "ffn_dim": FFN}
    return scrambled(VaceWanModel(**sizes), 2)


def diffsynth_vae(**sizes: object) -> nn.Module:
    from diffsynth.models.wan_video_vae import VideoVAE_

    return scrambled(VideoVAE_(**({"dim": BASE, "z_dim": LATENT, "num_res_blocks": 2} | sizes)), 3)


def diffsynth_umt5() -> nn.Module:
    from diffsynth.models.wan_video_text_encoder import WanTextEncoder

    sizes = {"vocab": VOCABULARY, "dim": TEXT, "dim_attn": 24, "dim_ffn": 36, "num_heads": 3, "num_layers": TEXT_LAYERS}
    return scrambled(WanTextEncoder(**sizes), 4)


def official(kind: str) -> dict[str, Tensor]:
    """An official-layout state of a kind of `layouts`."""
    if kind == "vace":
        return official("dit") | official("vace_adapter")
    makers = {"dit": diffsynth_dit, "vace_adapter": diffsynth_vace, "vae": diffsynth_vae, "umt5": diffsynth_umt5}
    return makers[kind]().state_dict()


def to_diffusers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors in diffusers' names."""
    names = match({name: tuple(value.shape) for name, value in state.items()}).names
    return {name: state[old] for name, old in names.items()}


def named(kind: str) -> dict[str, Tensor]:
    """The same state in diffusers' names."""
    return to_diffusers(official(kind))


def upstream(kind: str) -> nn.Module:
    """The class of diffusers or transformers with the same weights."""
    from diffusers import AutoencoderKLWan, WanTransformer3DModel, WanVACETransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    state = named(kind)
    if kind == "dit":
        model: nn.Module = WanTransformer3DModel(**TRANSFORMER)
    elif kind == "vace":
        model = WanVACETransformer3DModel(**TRANSFORMER, vace_layers=list(VACE_LAYERS), vace_in_channels=CONTEXT)
    elif kind == "vae":
        sizes = {"z_dim": LATENT, "latents_mean": MEAN, "latents_std": STD}
        model = AutoencoderKLWan(BASE, **sizes)
    else:
        shapes = {name: tuple(value.shape) for name, value in state.items()}
        model = UMT5EncoderModel(UMT5Config(**umt5_config(match(shapes).symbols), attn_implementation="eager"))
        state |= {"encoder.embed_tokens.weight": state["shared.weight"]}
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def written(kind: str, layout: str, folder: Path, max_shard: str = "5GB") -> list[Path]:
    """The weights as upstream's own code writes them; the files, the first shard first."""
    from huggingface_hub import save_torch_state_dict

    places = {"vae": "vae", "umt5": "text_encoder"}
    if layout == "diffusers" and kind != "vace_adapter":
        place = folder / places.get(kind, "transformer")
        upstream(kind).save_pretrained(place, max_shard_size=max_shard)
        return sorted(place.glob("*.safetensors"))
    folder.mkdir(parents=True, exist_ok=True)
    state = named(kind) if layout == "diffusers" else official(kind)
    if kind in OFFICIAL_FILES:
        path, prefix = folder / OFFICIAL_FILES[kind], "model." if layout == "diffsynth" and kind == "vae" else ""
        torch.save({prefix + name: value for name, value in state.items()}, path)
        return [path]
    if kind == "vace":
        (folder / "config.json").write_text(json.dumps({"num_heads": HEADS, "vace_layers": VACE_LAYERS}))
    pattern = "diffusion_pytorch_model{suffix}.safetensors"
    save_torch_state_dict(state, folder, filename_pattern=pattern, max_shard_size=max_shard)
    return sorted(folder.glob("diffusion_pytorch_model*.safetensors"))


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    """Names and values equal, bit for bit."""
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


def save_tokenizer(folder: Path, words: list[str] | None = None) -> None:
    """A tokenizer of whole words with T5's special tokens: 0 pads, 1 ends."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = words or ["<pad>", "</s>", "<unk>", "a", "car", "drives", "on", "street", "turns", "&", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
