"""Predicts parameters, operations and memory of sampling and training at any size, without weights and without a card.

Everything is counted on the real modules (`plan_steps`), with bf16 weights as on CUDA. One GB is 10^9 bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from faithfusion.utils.errors import InputError
from faithfusion.video.model.codecs.tiles import Tiles
from faithfusion.video.model.config import GeneratorConfig
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.memory import tiles_of
from faithfusion.video.model.memory_config import MemoryConfig
from faithfusion.video.plan.plan_bytes import (
    ResidentBytes,
    TrainedBytes,
    ZeroSettings,
    resident_bytes,
    trained_bytes,
    zero_settings,
)
from faithfusion.video.plan.plan_models import (
    ClipSize,
    count_parameters,
    fake_generator,
    known_model,
    num_bytes,
    with_lora,
)
from faithfusion.video.plan.plan_options import PlanOptions
from faithfusion.video.plan.plan_steps import (
    CodecTrace,
    SamplingTrace,
    TrainingTrace,
    fake_mode,
    mark_trained,
    trace_codec,
    trace_codec_in_tiles,
    trace_head,
    trace_sampling,
    trace_training,
)
from faithfusion.video.weights.open_generator import SHIPPED_WEIGHTS

OFFLOADS = ("none", "parts", "blocks", "leaves")
PARTS = ("sampling", "training", "codec")
DEFAULT_TILE = 272  # pixels; two rows of four cover 480 x 832


@dataclass(frozen=True)
class PlanRequest:
    """The question to the planner.

    Attributes:
        generator: architecture.
        size: size of the clip.
        active: fractions of the tokens for which sparse sampling is planned; sampling of all tokens always is.
        references: recorded views per window, if the branch reads them.
        memory: precisions and VAE tiles.
        zero: DeepSpeed's ZeRO in training.
        micro_batch: windows per card in training.
        checkpointing: activations recomputed in the backward pass.
        trainable: "branch" or "all", as in faithfusion.training.
        average_on_card: the EMA copy lies on the card.
        parts: what to trace; parameters are always counted.
    """

    generator: GeneratorConfig
    size: ClipSize = field(default_factory=ClipSize)
    active: tuple[float, ...] = (0.3,)
    references: int = 1
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    zero: ZeroSettings = field(default_factory=ZeroSettings)
    micro_batch: int = 1
    checkpointing: bool = True
    trainable: Literal["branch", "all"] = "branch"
    average_on_card: bool = True
    parts: tuple[str, ...] = PARTS

    def __post_init__(self) -> None:
        for fraction in self.active:
            if not 0.0 < fraction < 1.0:
                raise InputError("active", fraction, "a fraction of the tokens between 0 and 1")
        if self.micro_batch < 1:
            raise InputError("micro_batch", self.micro_batch, "at least 1 window")
        if self.references < 1:
            raise InputError("references", self.references, "at least 1 view")
        tiles_of(self.memory, self.generator.spec.stride)

    @property
    def tiles(self) -> Tiles:
        """The configured tiles of the codec, or the usual ones to compare with."""
        configured = tiles_of(self.memory, self.generator.spec.stride)
        return configured or Tiles(DEFAULT_TILE, self.memory.vae_tile_overlap)


@dataclass(frozen=True)
class TrainingPlan:
    """A training step on one card, and what it trains."""

    trace: TrainingTrace
    parameters: int
    frozen_bytes: int
    trained: TrainedBytes

    @property
    def step_bytes(self) -> int:
        """Bytes at the worst moment of forward and backward pass."""
        activations = self.trace.both.peak_bytes + self.trace.batch_bytes
        return self.frozen_bytes + self.trained.standing + activations

    @property
    def update_bytes(self) -> int:
        """Bytes at the worst moment of the optimiser's update."""
        return self.frozen_bytes + self.trained.standing + self.trained.update


@dataclass(frozen=True)
class CodecPlan:
    """Encoding and decoding of one clip, in whole frames and in tiles, and what the head does afterwards, if any."""

    encode: CodecTrace
    decode: CodecTrace
    encode_tiled: CodecTrace
    decode_tiled: CodecTrace
    head: CodecTrace | None = None


@dataclass(frozen=True)
class Plan:
    """The answer of `make_plan`."""

    request: PlanRequest
    parameters: dict[str, int]
    resident: dict[str, ResidentBytes]  # by kind of offloading
    sampling: tuple[SamplingTrace, ...]  # all tokens first, then the active fractions
    training: TrainingPlan | None
    codec: CodecPlan | None


def make_plan(request: PlanRequest) -> Plan:
    """Builds the generator without memory and traces what `request.parts` names."""
    generator = fake_generator(request.generator, request.memory, fake_mode())
    fractions = (None, *request.active) if "sampling" in request.parts else ()
    common = {"config": request.generator, "size": request.size, "memory": request.memory}
    return Plan(
        request=request,
        parameters=count_parameters(generator),
        resident={kind: resident_bytes(generator, kind) for kind in OFFLOADS},
        sampling=tuple(trace_sampling(**common, active=active, references=request.references) for active in fractions),
        training=_plan_training(generator, request) if "training" in request.parts else None,
        codec=_plan_codec(generator, request) if "codec" in request.parts else None,
    )


def _plan_training(generator: Generator, request: PlanRequest) -> TrainingPlan:
    trace = trace_training(
        request.generator,
        request.size,
        request.memory,
        trainable=request.trainable,
        micro_batch=request.micro_batch,
        checkpointing=request.checkpointing,
        references=request.references,
    )
    names = set(mark_trained(generator, request.trainable))
    parameters = [
        (name, parameter) for name, parameter in generator.named_parameters() if not name.startswith("codec.")
    ]
    count = sum(parameter.numel() for name, parameter in parameters if name in names)
    frozen = num_bytes([parameter for name, parameter in parameters if name not in names])
    trained = trained_bytes(count, request.zero, average_on_card=request.average_on_card)
    return TrainingPlan(trace, count, frozen, trained)


def _plan_codec(generator: Generator, request: PlanRequest) -> CodecPlan:
    codec, size = generator.codec, request.size
    encode, decode = (trace_codec(codec, size, decode=decode) for decode in (False, True))
    tiled = (trace_codec_in_tiles(codec, size, request.tiles, decode=decode) for decode in (False, True))
    return CodecPlan(encode, decode, *tiled, None if generator.head is None else trace_head(generator.head, size))


def generator_to_plan(model: str, branch: str = "", blocks: int = 0, lora: int = 0) -> GeneratorConfig:
    """A known model with another branch or low-rank updates: "" and 0 leave it as it is.

    Raises InputError for an unknown model, and for more branch blocks than the backbone has.
    """
    config = with_lora(known_model(model), lora)
    changed = config.branch
    if branch:
        changed = dataclasses.replace(changed, init=branch)
    if blocks:
        changed = dataclasses.replace(changed, num_blocks=blocks)
    if changed.num_blocks > config.wan.num_layers:
        raise InputError("blocks", changed.num_blocks, f"at most the {config.wan.num_layers} of {model}")
    return dataclasses.replace(config, branch=changed)


def request_of(
    options: PlanOptions, deepspeed: Mapping[str, Any], generator: GeneratorConfig | None = None
) -> PlanRequest:
    """The options of the tool with the content of a DeepSpeed file; `generator` instead of `options.model`, if given.

    Raises InputError for an unknown model or size and for options that do not fit together.
    """
    if generator is None:
        generator = generator_to_plan(options.model, options.branch, options.blocks, options.lora)
    active = options.active if isinstance(options.active, list) else [options.active]
    return PlanRequest(
        generator=generator,
        size=ClipSize(options.frames, options.height, options.width, generator.spec),
        active=tuple(active),
        references=options.references,
        memory=options.memory,
        zero=zero_settings(deepspeed, options.gpus),
        micro_batch=options.micro_batch,
        checkpointing=options.checkpointing,
        trainable="all" if options.model == SHIPPED_WEIGHTS and not options.generator else "branch",
        parts=PARTS if options.parts == "all" else (options.parts,),
    )
