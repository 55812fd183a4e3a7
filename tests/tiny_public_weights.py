"""Public weights small enough for unit tests: VACE, VAE and prompt in diffusers' layout."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, WanVACETransformer3DModel
from tiny_generator import TINY, tiny_config

from faithfusion.video.model.config import CodecConfig, GeneratorConfig, PretrainedConfig, WanVaeConfig
from faithfusion.video.model.spec import BackboneSpec
from faithfusion.video.weights.prompt import PROMPT_TOKENS, PromptFile, save_prompt_file

CHANNELS = 16


def upstream_sizes(channels: int, num_layers: int = TINY.wan.num_layers) -> dict[str, object]:
    """Arguments of diffusers' Wan classes for the tiny backbone."""
    wan = TINY.wan
    return {
        "patch_size": (1, 2, 2),
        "num_attention_heads": wan.num_heads,
        "attention_head_dim": wan.head_dim,
        "in_channels": channels,
        "out_channels": channels,
        "text_dim": wan.text_dim,
        "freq_dim": wan.freq_dim,
        "ffn_dim": wan.ffn_dim,
        "num_layers": num_layers,
        "cross_attn_norm": True,
        "rope_max_seq_len": wan.rope_max_len,
    }


def upstream_vace(channels: int, num_blocks: int = 3, num_layers: int = 6) -> WanVACETransformer3DModel:
    """diffusers' VACE with an adapter that speaks."""
    model = WanVACETransformer3DModel(
        **upstream_sizes(channels, num_layers),
        vace_layers=list(range(0, num_layers, num_layers // num_blocks)),
        vace_in_channels=BackboneSpec(channels).vace_channels,
    )
    for block in model.vace_blocks:
        torch.nn.init.normal_(block.proj_out.weight, std=0.1)
    return model.eval()


def write_public_weights(folder: Path) -> Path:
    """VACE (6 layers, 3 adapter blocks), VAE and prompt."""
    vace = upstream_vace(CHANNELS)
    vace.save_pretrained(folder / "transformer")
    vae = AutoencoderKLWan(
        base_dim=4, z_dim=CHANNELS, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    vae.save_pretrained(folder / "vae")
    embedding = torch.zeros(PROMPT_TOKENS, TINY.wan.text_dim)
    embedding[:7] = torch.randn(7, TINY.wan.text_dim)
    save_prompt_file(folder / "prompt.safetensors", PromptFile(embedding, None, "a street", "", "made up"))
    return folder


def public_config(folder: Path, **changes: object) -> GeneratorConfig:
    codec = CodecConfig(name="wan", latent_channels=CHANNELS, wan=WanVaeConfig(4, (1, 1, 1, 1), 1))
    pretrained = PretrainedConfig(model=str(folder), prompt=str(folder / "prompt.safetensors"))
    options = {"codec": codec, "pretrained": pretrained, "prompt_tokens": PROMPT_TOKENS, "prior": "none"}
    options |= {"wan__num_layers": 6, "branch__init": "vace", "branch__num_blocks": 3}
    return tiny_config(**options | changes)
