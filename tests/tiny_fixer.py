"""A fixer and windows with warped views, small enough for unit tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from tiny_generator import tiny_window
from tiny_training import REPOSITORY

from faithfusion.clips.store import write_shard
from faithfusion.types import WarpedViews, Window
from faithfusion.utils.seed import make_generator
from faithfusion.video.fixer.build import build_fixer
from faithfusion.video.fixer.fixer import Fixer, FixerConfig

TINY_FIXER = FixerConfig(channels=(8, 16))


def tiny_fixer(seed: int = 0, *, trained: bool = False, **changes: object) -> Fixer:
    """`trained`: the last layer, which starts at zero, gets random values, as any training would leave it."""
    random = make_generator(seed, "tiny fixer")
    fixer = build_fixer(dataclasses.replace(TINY_FIXER, **changes), random)
    if trained:
        with torch.no_grad():
            weight = fixer.network.conv_out.weight
            weight.copy_(0.3 * torch.randn(weight.shape, generator=random))
    return fixer.eval()


def warped_window(frames: int = 5, height: int = 32, width: int = 48, seed: int = 0, views: int = 2) -> Window:
    """`tiny_window` with views that are the truth with noise; the first is not trusted in the upper half."""
    window = tiny_window(frames, height, width, seed)
    random = make_generator(seed, "warped window")
    colors = (window.truth + 0.05 * torch.randn(views, *window.truth.shape, generator=random)).clamp(0, 1)
    trust = torch.ones(views, frames, height, width)
    trust[:1, :, : height // 2] = 0.0
    return dataclasses.replace(window, warped=WarpedViews(colors, trust))


def write_warped_pairs(folder: Path, num_shards: int = 2) -> Path:
    """Shards of two windows with warped views."""
    for number in range(num_shards):
        windows = [warped_window(seed=2 * number + i) for i in range(2)]
        write_shard(folder / f"street_{number}.safetensors", windows)
    return folder


def fixer_options(folder: Path, **options: object) -> list[str]:
    """Options of a short run of configs/train_video/fixer_tiny.yaml on the pairs of `folder`; `__` in a name is a
    dot."""
    values = {"run": folder / "run", "data.train": folder / "pairs", "num_steps": 4, "max_minutes": 0}
    values |= {"data.micro_batch": 2, "data.validation": "", "data.held_out_shards": 1}
    values |= {"fixer.crop_height": 16, "fixer.crop_width": 32}
    values |= {"fixer.model.channels": "[8,16]", "log.every_steps": 1, "log.tensorboard": False}
    values |= {"validation.every_steps": 0, "validation.num_windows": 1, "validation.profile_windows": 1}
    values |= {name.replace("__", "."): value for name, value in options.items()}
    values.setdefault("deepspeed", REPOSITORY / "ds_configs/cpu.json")
    config = str(REPOSITORY / "configs/train_video/fixer_tiny.yaml")
    return ["--config", config, *(f"--{name}={value}" for name, value in values.items())]
