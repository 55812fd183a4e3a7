"""Public weights small enough for unit tests: VACE, VAE and prompt in diffusers' layout."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, WanVACETransformer3DModel
from tiny_generator import tiny_config

from faithfusion.video.conditioning import vace_channels
from faithfusion.video.model import GeneratorConfig, PretrainedConfig
from faithfusion.video.text import PROMPT_TOKENS, PromptFile, save_prompt_file
from faithfusion.video.vae import CodecConfig, WanVaeConfig

CHANNELS = 16


def write_public_weights(folder: Path) -> Path:
    """VACE (6 layers, 3 adapter blocks), VAE and prompt."""
    wan = tiny_config().wan
    vace = WanVACETransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=wan.num_heads,
        attention_head_dim=wan.head_dim,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        text_dim=wan.text_dim,
        freq_dim=wan.freq_dim,
        ffn_dim=wan.ffn_dim,
        num_layers=6,
        cross_attn_norm=True,
        vace_layers=[0, 2, 4],
        vace_in_channels=vace_channels(CHANNELS),
    )
    for block in vace.vace_blocks:
        torch.nn.init.normal_(block.proj_out.weight, std=0.1)
    vace.save_pretrained(folder / "transformer")
    vae = AutoencoderKLWan(
        base_dim=4, z_dim=CHANNELS, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    vae.save_pretrained(folder / "vae")
    embedding = torch.zeros(PROMPT_TOKENS, wan.text_dim)
    embedding[:7] = torch.randn(7, wan.text_dim)
    save_prompt_file(folder / "prompt.safetensors", PromptFile(embedding, None, "a street", "", "made up"))
    return folder


def public_config(folder: Path, **changes: object) -> GeneratorConfig:
    codec = CodecConfig(name="wan", latent_channels=CHANNELS, wan=WanVaeConfig(4, (1, 1, 1, 1), 1))
    pretrained = PretrainedConfig(model=str(folder), prompt=str(folder / "prompt.safetensors"))
    options = {"codec": codec, "pretrained": pretrained, "prompt_tokens": PROMPT_TOKENS, "prior": "none"}
    options |= {"wan__num_layers": 6, "branch__init": "vace", "branch__num_blocks": 3}
    return tiny_config(**options | changes)
