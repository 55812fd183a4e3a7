"""Makes the model that a run starts from, puts its parts in place, and copies it for validation and export."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import TypeVar

import torch

from faithfusion.training.config import TrainConfig
from faithfusion.training.ds_config import is_frozen_bf16
from faithfusion.training.widen import can_widen, grow_head, widen
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator
from faithfusion.video.fixer.build import build_fixer
from faithfusion.video.fixer.fixer_file import fixer_path, load_fixer
from faithfusion.video.model.fixers.fixer import Fixer
from faithfusion.video.model.fixers.head import PixelHead
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.lora import add_lora, is_lora_name
from faithfusion.video.model.memory import keeps_float32, move, set_tiles
from faithfusion.video.model.memory_config import MemoryConfig
from faithfusion.video.weights.assemble import assemble_generator
from faithfusion.video.weights.generator_file import load_generator
from faithfusion.video.weights.open_generator import SHIPPED_WEIGHTS, weights_path

ARCHITECTURE = ("codec", "wan", "branch", "prompt_tokens", "prior", "signal_std")
"""Fields of GeneratorConfig that weights cannot change; flow time, conditioning and attention may be trained anew."""

Model = Generator | Fixer
AnyModel = TypeVar("AnyModel", Generator, Fixer)


def starting_model(config: TrainConfig) -> Model:
    """`starting_generator` or `starting_fixer`, as the method wants."""
    if config.method == "fixer":
        return starting_fixer(config)
    generator = starting_generator(config)
    set_tiles(generator.codec, MemoryConfig(vae_tile_pixels=config.vae_tile_pixels))
    return generator


def starting_fixer(config: TrainConfig) -> Fixer:
    """The weights of `init_from`, or random ones, on the public ones if it has any; on the CPU.

    A small fixer may start from one with fewer views, or whose frames do not see each other (`training.widen`). Raises
    InputError for a file of another architecture.
    """
    wanted = config.fixer.model
    if not config.init_from:
        return build_fixer(wanted, make_generator(config.seed, "weights"))
    fixer, _, _ = load_fixer(fixer_path(config.init_from), wanted.sd_turbo.pretrained if wanted.sd_turbo else "")
    if fixer.config != wanted and can_widen(fixer.config, wanted):
        wide = build_fixer(wanted, make_generator(config.seed, "weights"))
        widen(fixer, wide)
        return wide
    _require_same(config.init_from, "fixer", fixer.config, wanted)
    return fixer.train().requires_grad_(True)


def require_video_model(config: TrainConfig) -> None:
    """Raises InputError if the video model of `fixer.after` is not there."""
    after = config.fixer.after
    if config.method == "fixer" and after and not weights_path(after).is_file():
        raise InputError(after, "no such file", f"weights of a video model, or {SHIPPED_WEIGHTS} (fixer.after)")


def starting_generator(config: TrainConfig) -> Generator:
    """The weights of `init_from`, or random ones on the public weights if given; with the codec of `codec_from`.

    On the CPU in float32, with the configured low-rank updates. Raises InputError where a file does not have the
    configured architecture.
    """
    random = make_generator(config.seed, "weights")
    generator = _from_file(config, random) if config.init_from else assemble_generator(config.generator, random)
    generator.config = config.generator
    if generator.head is not None and config.head_from:
        _start_as(generator.head, config.head_from)
    if config.codec_from:
        loaded, _, _ = load_generator(Path(config.codec_from))
        _require_same(config.codec_from, "codec", loaded.config.codec, config.generator.codec)
        generator.codec.load_state_dict(loaded.codec.state_dict())
    return generator


def _from_file(config: TrainConfig, random: torch.Generator) -> Generator:
    wanted = config.generator
    generator, _, _ = load_generator(Path(config.init_from), pretrained=wanted.pretrained)
    found = generator.config
    for name in ARCHITECTURE:
        _require_same(config.init_from, name, getattr(found, name), getattr(wanted, name))
    with torch.random.fork_rng(devices=[]):  # what is new draws from the global stream
        torch.manual_seed(int(torch.randint(2**62, (), generator=random)))
        if found.lora.rank:
            _require_same(config.init_from, "lora", found.lora, wanted.lora)
        else:
            add_lora(generator.backbone, wanted.lora)
        if found.head and wanted.head:
            _require_same(config.init_from, "head", found.head, wanted.head)
        else:  # a head belongs to the weights whose clips it has seen
            generator.head = None if wanted.head is None else PixelHead(wanted.head, wanted.conditioning)
    if config.method in ("distribution_matching", "head"):
        for name in ("schedule", "conditioning", "attention"):
            _require_same(config.init_from, name, getattr(found, name), getattr(wanted, name))
    return generator


def _start_as(head: PixelHead, path: str) -> None:
    fixer, _, _ = load_fixer(fixer_path(path))
    wanted = dataclasses.replace(head.config, num_views=head.config.num_views - 1)
    _require_same(path, "fixer", dataclasses.replace(fixer.config, conditioning=wanted.conditioning), wanted)
    grow_head(fixer, head)


def _require_same(path: str, part: str, found: object, expected: object) -> None:
    if found != expected:
        raise InputError(path, f"{part} {found}", f"the architecture of the configuration, {expected}")


def fixer_in(model: Model) -> Fixer | None:
    """What learns from pixels: the fixer itself, or a generator's head. A run has generators with a head only in order
    to train it (`TrainConfig`)."""
    return model if isinstance(model, Fixer) else model.head


def twin_of(model: AnyModel) -> AnyModel:
    """A copy with its own trained weights; what is frozen is shared, so a large backbone is not held twice.

    Call it after the method has set what is trained and before the engine may split the weights over processes.
    """
    shared = {id(parameter): parameter for parameter in model.parameters() if not parameter.requires_grad}
    return copy.deepcopy(model, shared).eval().requires_grad_(False)


def place_for_training(model: Model, config: TrainConfig, device: torch.device) -> None:
    """Casts frozen weights of backbone and branch, and moves all that a training step needs to `device`.

    The codec goes there only if it is trained; a step on cached latents does not need it. A step of a head needs
    nothing but the head.
    """
    fixer = fixer_in(model)
    if fixer is not None:
        set_precision(fixer.network, frozen_dtype(config, device), frozen_only=True)
        fixer.to(device)
        if config.gradient_checkpointing:
            fixer.save_activation_memory()
        return
    for part in (model.backbone, model.branch):
        set_precision(part, frozen_dtype(config, device), frozen_only=True)
        move(part, device)
        part.checkpoint_blocks = config.gradient_checkpointing
    model.prompt.data = model.prompt.data.to(device)
    if config.method == "codec":
        move(model.codec, device)


def frozen_dtype(config: TrainConfig, device: torch.device) -> torch.dtype:
    """The precision of the weights that are not trained."""
    return torch.bfloat16 if is_frozen_bf16(config, device) else torch.float32


def set_precision(part: torch.nn.Module, dtype: torch.dtype, *, frozen_only: bool = False) -> None:
    """Casts weights to `dtype`, but for those that inference keeps in float32 as well (`video.model.memory`)."""
    for name, parameter in part.named_parameters():
        if frozen_only and parameter.requires_grad:
            continue
        parameter.data = parameter.data.to(torch.float32 if keeps_float32(name) else dtype)


def place_for_sampling(twin: Model, config: TrainConfig, device: torch.device) -> None:
    """Moves everything of a copy to `device`, in the precision in which it will be used."""
    if isinstance(twin, Fixer):
        twin.to(device)
        return
    move(twin, device)
    for part in (twin.branch, twin.backbone):
        set_precision(part, frozen_dtype(config, device))


def park(twin: Model, device: torch.device) -> None:
    """Moves what a copy has of its own, and the codec, back to host memory. What it shares stays, and so do a fixer and
    a head, because they are small."""
    if device.type == "cpu" or isinstance(twin, Fixer):
        return
    waiting = torch.device("cpu")
    move(twin.codec, waiting)
    move(twin.branch, waiting)
    for name, parameter in twin.backbone.named_parameters():
        if is_lora_name(name):
            parameter.data = parameter.data.to(waiting)
    torch.cuda.empty_cache()
