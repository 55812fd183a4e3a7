"""Public weights of SD-Turbo's layout and a fixer on them, small enough for unit tests."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from faithfusion.types import Window
from faithfusion.utils.seed import make_generator
from faithfusion.video.fixer.build import build_fixer
from faithfusion.video.fixer.sd_turbo import SdTurboFixer
from faithfusion.video.model.config import LoraConfig
from faithfusion.video.model.fixers.fixer_config import FixerConfig, SdTurboConfig
from faithfusion.video.model.lora import is_lora_name

PROMPT_WIDTH = 8
LORA = {"trainable": "unet_lora", "lora": LoraConfig(rank=2)}


def write_sd_turbo(folder: Path, seed: int = 0) -> Path:
    """U-Net of two levels, VAE with cells of 2 x 2 pixels, scheduler, text encoder and tokenizer."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=PROMPT_WIDTH,
        attention_head_dim=2,
        norm_num_groups=4,
        use_linear_projection=True,
    )
    unet.save_pretrained(folder / "unet")
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        mid_block_add_attention=False,
    )
    vae.save_pretrained(folder / "vae")
    EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing"
    ).save_pretrained(folder / "scheduler")
    _write_text_encoder(folder)
    return folder


def tiny_sd_turbo(folder: Path, *, trained: bool = False, num_views: int = 2, **changes: object) -> SdTurboFixer:
    """On the weights of `write_sd_turbo`. `trained`: what starts at zero gets random values."""
    settings = SdTurboConfig(pretrained=str(folder), **changes)
    fixer = build_fixer(FixerConfig(num_views=num_views, sd_turbo=settings), make_generator(0, "tiny"))
    if trained:
        random = make_generator(0, "tiny sd-turbo")
        with torch.no_grad():
            for name, value in fixer.network.named_parameters():
                if name == "conv_in.added.weight" or is_lora_name(name):
                    value.copy_(0.1 * torch.randn(value.shape, generator=random))
    return fixer.eval()


def with_references(window: Window, count: int = 2) -> Window:
    """Other random references, of another size than the frames."""
    images = torch.rand(count, 24, 40, 3, generator=make_generator(1, "references"))
    return dataclasses.replace(window, references=images)


def _write_text_encoder(folder: Path) -> None:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    place = folder / "tokenizer"
    place.mkdir(parents=True)
    (place / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(vocabulary)}))
    (place / "merges.txt").write_text("#version: 0.2\n")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"}
    (place / "tokenizer_config.json").write_text(json.dumps(settings))
    sizes = {"hidden_size": PROMPT_WIDTH, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": len(vocabulary) - 2, "eos_token_id": len(vocabulary) - 1}
    CLIPTextModel(CLIPTextConfig(vocab_size=len(vocabulary), **sizes, **ends)).save_pretrained(folder / "text_encoder")
