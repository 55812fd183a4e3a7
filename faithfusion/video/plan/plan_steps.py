"""Traces of the steps that sampling and training consist of, at any size (`plan_trace`)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from faithfusion.video.model.codecs.base import NormalisedCodec
from faithfusion.video.model.codecs.tiles import Tiles, spans
from faithfusion.video.model.config import GeneratorConfig
from faithfusion.video.model.fixers.fixer import FixerInputs
from faithfusion.video.model.fixers.head import FRAMES_AT_ONCE, PixelHead
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.lora import is_lora_name
from faithfusion.video.model.memory_config import MemoryConfig
from faithfusion.video.plan.plan_models import ClipSize, empty_conditions, fake_generator, num_bytes, tensors_of
from faithfusion.video.plan.plan_trace import Trace, Tracer


@dataclass(frozen=True)
class SamplingTrace:
    """One step of the sampler. With sparse sampling the pass over the context comes before the steps, once."""

    active: float  # fraction of tokens computed in the step
    step: Trace
    context: Trace | None = None
    cache_bytes: int = 0  # keys and values kept between steps
    condition_bytes: int = 0  # latents, conditions, keys and values of the references

    @property
    def peak_bytes(self) -> int:
        """Bytes at the worst moment of context and step, without weights."""
        before = self.context.peak_bytes if self.context else 0
        return self.condition_bytes + max(before, self.cache_bytes + self.step.peak_bytes)


@dataclass(frozen=True)
class TrainingTrace:
    """Forward and backward pass of one micro-batch."""

    both: Trace  # forward, recomputation and backward
    forward_flops: int
    activation_bytes: int  # kept from the forward for the backward pass
    batch_bytes: int

    @property
    def working_bytes(self) -> int:
        """Bytes on top of the kept activations at the worst moment."""
        return self.both.peak_bytes - self.activation_bytes


@dataclass(frozen=True)
class CodecTrace:
    """One call of the codec, without weights; its input counts."""

    flops: int
    peak_bytes: int


def fake_mode() -> FakeTensorMode:
    """Tensors without data that may meet small real ones."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def trace_sampling(
    config: GeneratorConfig, size: ClipSize, memory: MemoryConfig, *, active: float | None = None, references: int = 1
) -> SamplingTrace:
    """Traces one step over all tokens, or over the `active` fraction of them, with the other tokens kept as context.

    The path is bridge, because hold has no context.
    """
    mode = fake_mode()
    generator = fake_generator(config, memory, mode)
    conditions = empty_conditions(config, size, 1, references, 1.0 if active is None else active, mode)
    x = torch.empty_like(conditions.render_latent)
    inputs = [x, *tensors_of(conditions)]
    tracer = Tracer([*_held(generator), *inputs])
    context = kept = None
    with torch.no_grad(), tracer:
        conditions = generator.prepare(conditions)
        prepared = tracer.read().kept_bytes
        tracer.restart()
        if active is not None:
            kept = generator.remember_context(conditions)
            context = tracer.read()
            tracer.restart()
        generator.velocity(x, torch.ones(1), conditions, path="bridge", memory=kept)
        step = tracer.read()
    cache = kept.num_bytes() if kept is not None else 0
    return SamplingTrace(1.0 if active is None else active, step, context, cache, num_bytes(inputs) + prepared)


def trace_training(
    config: GeneratorConfig,
    size: ClipSize,
    memory: MemoryConfig,
    *,
    trainable: str = "branch",
    micro_batch: int = 1,
    checkpointing: bool = True,
    references: int = 1,
) -> TrainingTrace:
    """Traces loss and gradients of one micro-batch. `trainable`: "branch" (with low-rank updates, if any) or "all".

    Trained weights are in one precision, as DeepSpeed has them; a gradient is dropped once it is complete, since where
    gradients are kept is a matter of ZeRO (`plan_bytes`).
    """
    mode = fake_mode()
    generator = fake_generator(config, memory, mode)
    mark_trained(generator, trainable)
    generator.backbone.checkpoint_blocks = generator.branch.checkpoint_blocks = checkpointing
    for parameter in generator.parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(_drop_gradient)
    conditions = empty_conditions(config, size, micro_batch, references, 1.0, mode)
    x, target = (torch.empty_like(conditions.render_latent) for _ in range(2))
    inputs = [x, target, *tensors_of(conditions)]
    tracer = Tracer([*_held(generator), *inputs])
    with tracer:
        velocity = generator.velocity(x, torch.ones(micro_batch), conditions).float()
        loss = (velocity - target).square().mean()
        del velocity
        forward = tracer.read()
        loss.backward()
        both = tracer.read()
    return TrainingTrace(both, forward.total_flops, forward.kept_bytes, num_bytes(inputs))


def mark_trained(generator: Generator, trainable: str) -> list[str]:
    """Sets which parameters want gradients, as `faithfusion.training` does; their names."""
    generator.requires_grad_(False)
    for name, parameter in generator.named_parameters():
        part = name.split(".")[0]
        if part == "branch" or is_lora_name(name) or (trainable == "all" and part in ("backbone", "prompt")):
            parameter.requires_grad_(True)
    return [name for name, parameter in generator.named_parameters() if parameter.requires_grad]


def _drop_gradient(parameter: Tensor) -> None:
    parameter.grad = None


def _held(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def trace_codec(codec: NormalisedCodec, size: ClipSize, *, decode: bool) -> CodecTrace:
    """Traces one encoding or decoding of a clip as the codec stands, in whole frames or in all its tiles."""
    with torch.no_grad():
        source = _codec_input(codec, size, decode=decode)
        with Tracer([*_held(codec), source]) as tracer:
            codec.decode(source) if decode else codec.encode(source)
            cost = tracer.read()
    return CodecTrace(cost.total_flops, cost.peak_bytes + num_bytes([source]))


def trace_head(head: PixelHead, size: ClipSize) -> CodecTrace:
    """Traces the head on as many frames as it finishes at once, times how often it does so in the clip."""
    frames = min(FRAMES_AT_ONCE, size.frames)
    like, place = next(head.parameters()), (frames, size.height, size.width)
    views = head.config.num_views
    shapes = [(3,), (views, 3), (views,), (), (), (), (0, 3)]
    parts = [like.new_empty((frames, *shape, *place[1:]), dtype=torch.float32) for shape in shapes]
    with torch.no_grad(), Tracer([*_held(head), *parts]) as tracer:
        head(FixerInputs(*parts, num_frames=frames))
        cost = tracer.read()
    return CodecTrace(cost.total_flops * size.frames // frames, cost.peak_bytes + num_bytes(parts))


def _codec_input(codec: NormalisedCodec, size: ClipSize, *, decode: bool) -> Tensor:
    shape = (len(codec.latents_mean), *size.latent) if decode else (3, size.frames, size.height, size.width)
    return codec.latents_mean.new_empty((1, *shape), dtype=torch.float32)


def trace_codec_in_tiles(codec: NormalisedCodec, size: ClipSize, tiles: Tiles, *, decode: bool) -> CodecTrace:
    """Traces the same in tiles, from one run on one of them, because all cost the same: beside the clip, the result and
    its weights there is one tile at work at a time."""
    rows, columns = (spans(side, tiles, codec.stride) for side in (size.height, size.width))
    sides = (side.stop - side.start for side in (rows[0], columns[0]))
    part = ClipSize(size.frames, *sides, size.spec)
    codec.tiles = None
    tile = trace_codec(codec, part, decode=decode)
    source, own = (num_bytes([_codec_input(codec, each, decode=decode)]) for each in (size, part))
    frames, high, wide = size.latent
    result = 3 * size.frames * size.height * size.width if decode else len(codec.latents_mean) * frames * high * wide
    weights = size.height * size.width if decode else high * wide
    around = source + 4 * (result + weights) if len(rows) * len(columns) > 1 else source
    return CodecTrace(tile.flops * len(rows) * len(columns), around + tile.peak_bytes - own)
