"""The methods by name: what each trains, on which data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from faithfusion.video.model import Generator
from train_video.cache import cache_latents
from train_video.codec import CodecMethod
from train_video.config import TrainConfig
from train_video.data import ClipBatch, ClipDataset, LatentBatch, LatentDataset, Pick, training_windows
from train_video.engine import Topology
from train_video.flow import FlowMethod


class Dataset(Protocol):
    """Batches by picks; `generator` drives augmentation."""

    def __len__(self) -> int: ...

    def batch(self, picks: Sequence[Pick], generator: torch.Generator) -> ClipBatch | LatentBatch:
        """The batch of `picks`, on the CPU."""
        ...


def build_method(config: TrainConfig, generator: Generator) -> nn.Module:
    """The module that the engine wraps: forward(batch, generator) -> (loss, values to log)."""
    if config.method == "codec":
        return CodecMethod(config.codec, generator)
    return FlowMethod(config.flow, generator)


def build_dataset(config: TrainConfig, generator: Generator, topology: Topology) -> Dataset:
    """Opens what the method reads; for latents, encodes first (every process a part, then waits for the others)."""
    windows = training_windows(config.data)
    if config.method == "codec":
        crop = config.codec
        return ClipDataset(windows, num_frames=crop.crop_frames, height=crop.crop_height, width=crop.crop_width)
    folder = Path(config.data.cache or Path(config.run) / "cache")
    files = cache_latents(windows, folder, generator, topology)
    return LatentDataset(files, crop_tokens=config.data.crop_tokens, whole_share=config.data.whole_share)
