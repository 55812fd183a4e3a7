"""The methods by name: what each trains, in which order, and on which data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from faithfusion.video.memory import move
from faithfusion.video.model import Generator
from train_video.cache import cache_latents
from train_video.codec import CodecMethod
from train_video.config import TrainConfig
from train_video.data import ClipBatch, ClipDataset, LatentBatch, LatentDataset, Pick, training_windows
from train_video.distribution_matching import CRITIC, CriticRole, StudentRole, Trio
from train_video.engine import Topology
from train_video.flow import FlowMethod
from train_video.optimizer import STUDENT, Role
from train_video.start import twin_of
from train_video.trained import register_trained


class Dataset(Protocol):
    """Batches by picks; `generator` drives augmentation."""

    def __len__(self) -> int: ...

    def batch(self, picks: Sequence[Pick], generator: torch.Generator) -> ClipBatch | LatentBatch:
        """The batch of `picks`, on the CPU."""
        ...


@dataclass(frozen=True)
class Method:
    """What is trained: the roles by name, and which of them are updated in one step, in this order. `networks`: every
    generator that a step runs, the student's first."""

    roles: dict[str, Role]
    networks: tuple[Generator, ...]
    updates: tuple[str, ...] = (STUDENT,)


def build_method(config: TrainConfig, generator: Generator) -> Method:
    """The roles of the configured method. What `generator` does not train wants no gradient afterwards."""
    if config.method == "codec":
        return Method({STUDENT: Role(CodecMethod(config.codec, generator), config.optimizer)}, (generator,))
    if config.method == "flow":
        return Method({STUDENT: Role(FlowMethod(config.flow, generator), config.optimizer)}, (generator,))
    return _distillation(config, generator)


def _distillation(config: TrainConfig, generator: Generator) -> Method:
    """`generator` is the student; teacher and critic start as copies of what it trains and share the rest with it."""
    settings, flow = config.distribution_matching, config.flow
    register_trained(torch.nn.Module(), generator, flow.trainable)  # says what the copies share
    trio = Trio(generator, twin_of(generator), twin_of(generator))
    student, critic = StudentRole(settings, flow.phi, trio), CriticRole(settings, flow.phi, trio)
    register_trained(student, generator, flow.trainable)
    register_trained(critic, trio.critic, flow.trainable)
    slower = dataclasses.replace(config.optimizer, learning_rate=settings.critic_learning_rate)
    roles = {STUDENT: Role(student, config.optimizer), CRITIC: Role(critic, slower)}
    return Method(roles, (generator, trio.teacher, trio.critic), (CRITIC,) * settings.critic_updates + (STUDENT,))


def build_dataset(config: TrainConfig, generator: Generator, topology: Topology) -> Dataset:
    """Opens what the method reads; for latents, encodes first (every process a part, then waits for the others), with
    the codec on the device for as long as that takes."""
    windows = training_windows(config.data)
    if config.method == "codec":
        crop = config.codec
        return ClipDataset(windows, num_frames=crop.crop_frames, height=crop.crop_height, width=crop.crop_width)
    folder = Path(config.data.cache or Path(config.run) / "cache")
    generator.prompt.data = generator.prompt.data.to(topology.device)
    move(generator.codec, topology.device)
    files = cache_latents(windows, folder, generator, topology)
    move(generator.codec, torch.device("cpu"))
    return LatentDataset(files, crop_tokens=config.data.crop_tokens, whole_share=config.data.whole_share)
