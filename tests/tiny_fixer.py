"""A fixer and windows with warped views, small enough for unit tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from tiny_generator import tiny_window
from tiny_training import REPOSITORY
from torch import Tensor

from faithfusion.clips.store import write_shard
from faithfusion.types import Camera, ViewPoses, WarpedViews, Window
from faithfusion.utils.seed import make_generator
from faithfusion.video.fixer.build import build_fixer
from faithfusion.video.model.fixers.fixer import Fixer, FixerConfig, FixerInputs

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


def pictures(inputs: FixerInputs) -> dict[str, Tensor]:
    """What the inputs hold per pixel, by name."""
    values = {field.name: getattr(inputs, field.name) for field in dataclasses.fields(inputs)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def warped_window(frames: int = 5, height: int = 32, width: int = 48, seed: int = 0, views: int = 2) -> Window:
    """`tiny_window` with views that are the truth with noise; the first is not trusted in the upper half."""
    window = tiny_window(frames, height, width, seed)
    random = make_generator(seed, "warped window")
    colors = (window.truth + 0.05 * torch.randn(views, *window.truth.shape, generator=random)).clamp(0, 1)
    trust = torch.ones(views, frames, height, width)
    trust[:1, :, : height // 2] = 0.0
    return dataclasses.replace(window, warped=WarpedViews(colors, trust))


def poses_ahead(count: int, width: int, height: int) -> ViewPoses:
    """A camera that drives ahead, 0.7 m a frame, and drifts a little to the left."""
    matrix = torch.tensor([[1.2 * width, 0.0, 0.5 * width], [0.0, 1.2 * width, 0.5 * height], [0.0, 0.0, 1.0]])
    poses = torch.eye(4).repeat(count, 1, 1)
    poses[:, 2, 3] = 0.7 * torch.arange(count)
    poses[:, 0, 3] = -0.1 * torch.arange(count)
    return ViewPoses(matrix.repeat(count, 1, 1), poses)


def street_depth(count: int, height: int, width: int) -> Tensor:
    """A ground below the horizon, a wall, and sky above: camera z in metres; a box that stands in front."""
    rows = (torch.arange(height) + 0.5 - 0.5 * height) / (1.2 * width)
    ground = torch.where(rows > 0.01, 1.5 / rows.clamp_min(0.01), 30.0).clamp_max(30.0)
    depth = ground[:, None].expand(height, width).clone()
    depth[: height // 4] = 0.0
    depth = depth.repeat(count, 1, 1)
    depth[:, height // 2 :, : width // 4] = 4.0
    return depth


def moving_window(frames: int = 5, height: int = 32, width: int = 48, seed: int = 0) -> Window:
    """`warped_window` of such a street from such a camera."""
    poses = poses_ahead(frames, width, height)
    cameras = zip(poses.intrinsics, poses.world_from_camera, strict=True)
    window = warped_window(frames, height, width, seed)
    return dataclasses.replace(
        window,
        depth=street_depth(frames, height, width),
        cameras=tuple(Camera(matrix, pose, width, height) for matrix, pose in cameras),
    )


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
