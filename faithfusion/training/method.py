"""The methods by name: what each trains, in which order, and on which data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from faithfusion.training.cache import cache_latents
from faithfusion.training.callbacks.validation import sampler_of
from faithfusion.training.codec import CodecMethod
from faithfusion.training.config import TrainConfig
from faithfusion.training.data import (
    ClipBatch,
    ClipDataset,
    FixerBatch,
    LatentBatch,
    LatentDataset,
    Pick,
    WindowRef,
    training_windows,
)
from faithfusion.training.distribution_matching import CRITIC, CriticRole, StudentRole, Trio
from faithfusion.training.fixer import FixerMethod
from faithfusion.training.fixer_data import Before, FixerDataset, after_codec, after_editor, decode_windows
from faithfusion.training.flow import FlowMethod, register_trained
from faithfusion.training.optimizer import STUDENT, Role
from faithfusion.training.start import Model, fixer_in, place_for_sampling, twin_of
from faithfusion.training.topology import Topology
from faithfusion.utils.plain import config_hash
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import DEFAULT_COMPOSITE, VideoEditorConfig
from faithfusion.video.editing.video_editor import VideoEditor
from faithfusion.video.editors.registry import open_editors
from faithfusion.video.model.fixers.fixer import Fixer
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.memory import move
from faithfusion.video.weights.profiles import weights_key


@runtime_checkable
class Dataset(Protocol):
    """Batches by picks; `generator` drives augmentation."""

    def __len__(self) -> int: ...

    def batch(self, picks: Sequence[Pick], generator: torch.Generator) -> ClipBatch | LatentBatch | FixerBatch:
        """The batch of `picks`, on the CPU."""
        ...


@dataclass(frozen=True)
class Method:
    """All that is trained: the roles by name, and which of them are updated in one step, in this order. `networks`:
    every model that a step runs, the student's first."""

    roles: dict[str, Role]
    networks: tuple[Model, ...]
    updates: tuple[str, ...] = (STUDENT,)


def build_method(config: TrainConfig, model: Model) -> Method:
    """The roles of the configured method. What of `model` is not trained wants no gradient afterwards."""
    if isinstance(model, Fixer):
        return Method({STUDENT: Role(FixerMethod(config.fixer, model), config.optimizer)}, (model,))
    if config.method == "head":
        model.requires_grad_(False)
        # what a head reads is the error of the render, which does not fall with that of the clip
        settings = dataclasses.replace(config.fixer, render_mix=0.0)
        return Method({STUDENT: Role(FixerMethod(settings, model.head), config.optimizer)}, (model,))
    if config.method == "codec":
        return Method({STUDENT: Role(CodecMethod(config.codec, model), config.optimizer)}, (model,))
    if config.method == "flow":
        return Method({STUDENT: Role(FlowMethod(config.flow, model), config.optimizer)}, (model,))
    return _distillation(config, model)


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


def build_dataset(config: TrainConfig, model: Model, topology: Topology) -> Dataset:
    """Opens what the method reads; latents are encoded and single frames decoded first, and clips of `fixer.after` made
    (every process a part, then it waits for the others), with what that takes on the device for as long."""
    windows = training_windows(config.data)
    if fixer_in(model) is not None:
        return _frames(config, windows, model, topology)
    if config.method == "codec":
        crop = config.codec
        return ClipDataset(windows, num_frames=crop.crop_frames, height=crop.crop_height, width=crop.crop_width)
    folder = _cache_folder(config)
    model.prompt.data = model.prompt.data.to(topology.device)
    move(model.codec, topology.device)
    files = cache_latents(windows, folder, model, topology)
    move(model.codec, torch.device("cpu"))
    return LatentDataset(files, crop_tokens=config.data.crop_tokens, whole_share=config.data.whole_share)


def _frames(config: TrainConfig, windows: Sequence[WindowRef], model: Model, topology: Topology) -> FixerDataset:
    settings, sizes = config.fixer, fixer_in(model).config
    place = (windows, _cache_folder(config), sizes.num_views, topology, sizes.num_references)
    files = decode_windows(*place, before=None if isinstance(model, Fixer) else _own_clips(config, model, topology))
    if isinstance(model, Fixer) and settings.after:
        files += decode_windows(*place, before=_before(settings.after, topology))
    if isinstance(model, Generator):
        move(model, torch.device("cpu"))
    images = {"num_views": sizes.num_views, "num_references": sizes.num_references}
    crop = {"num_frames": settings.crop_frames, "height": settings.crop_height, "width": settings.crop_width}
    return FixerDataset(files, **crop, **images)


def _before(weights: str, topology: Topology) -> Before:
    opened = open_editors([{"kind": "wan", "weights": weights}], str(topology.device))
    return after_editor(opened.editor(DEFAULT_COMPOSITE), opened.identity)


def _own_clips(config: TrainConfig, generator: Generator, topology: Topology) -> Before:
    """The generator, whose head is still to be trained, on the device."""
    place_for_sampling(generator, config, topology.device)
    sampler = sampler_of(config)
    editor = VideoEditor(generator, VideoEditorConfig(sampler=sampler), ErrorProfile())
    without_head = dataclasses.replace(config.generator, head=None)
    weights = weights_key(Path(config.init_from)) if config.init_from else ""
    return after_codec(editor, config_hash(without_head, sampler, weights))


def _cache_folder(config: TrainConfig) -> Path:
    return Path(config.data.cache or Path(config.run) / "cache")
