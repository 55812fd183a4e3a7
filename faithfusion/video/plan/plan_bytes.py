"""Bytes that follow from parameter counts: trained weights under DeepSpeed's ZeRO, and weights under offloading.

P trained parameters on N processes, in bf16 with a float32 master copy (Rajbhandari et al. 2020), as DeepSpeed 0.19
keeps them:
    weights 2 P, gradients 2 P, master copy 4 P, Adam's two moments 8 P;
    stage 1 divides master copy and moments by N, stage 2 the gradients too, stage 3 the weights too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from faithfusion.utils.errors import InputError
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.memory import linear_layers
from faithfusion.video.plan.plan_models import num_bytes

BF16, FP32 = 2, 4
DEFAULT_BUCKET = 500_000_000  # parameters; DeepSpeed's own default
DEFAULT_LIVE = 1_000_000_000
DEFAULT_PREFETCH = 50_000_000


@dataclass(frozen=True)
class ZeroSettings:
    """The part of a DeepSpeed configuration that decides about memory.

    Attributes:
        stage: stage of ZeRO.
        gpus: processes.
        bucket: parameters whose gradients are reduced at once.
        buffers: such buckets in use at a time.
        live: parameters that stage 3 may gather at a time.
        offload_optimizer: master copy, moments and gradients in host memory.
        offload_weights: stage 3's weights in host memory.
    """

    stage: int = 0
    gpus: int = 1
    bucket: int = DEFAULT_BUCKET
    buffers: int = 1
    live: int = DEFAULT_LIVE
    offload_optimizer: bool = False
    offload_weights: bool = False


@dataclass(frozen=True)
class TrainedBytes:
    """Memory of the trained weights on one card between forward and update, and during the update."""

    weights: int
    gradients: int
    master: int
    moments: int
    buffers: int  # buckets of gradients, gathered weights
    average: int  # the EMA copy, first process only
    update: int  # float32 gradients and temporaries of AdamW, during the update only

    @property
    def standing(self) -> int:
        """The sum of all but the update's."""
        return self.weights + self.gradients + self.master + self.moments + self.buffers + self.average


def zero_settings(deepspeed: Mapping[str, Any], gpus: int) -> ZeroSettings:
    """Reads the content of a DeepSpeed configuration file. Raises InputError for a stage other than 0 to 3."""
    zero = deepspeed.get("zero_optimization") or {}
    stage = zero.get("stage", 0)
    if stage not in (0, 1, 2, 3):
        raise InputError("zero_optimization.stage", stage, "0, 1, 2 or 3")
    if gpus < 1:
        raise InputError("gpus", gpus, "at least 1")
    overlap = bool(zero.get("overlap_comm", stage == 3))
    return ZeroSettings(
        stage=stage,
        gpus=gpus,
        bucket=int(zero.get("reduce_bucket_size", DEFAULT_BUCKET)),
        buffers=2 if overlap and stage in (1, 2) else 1,
        live=int(zero.get("stage3_max_live_parameters", DEFAULT_LIVE))
        + int(zero.get("stage3_prefetch_bucket_size", DEFAULT_PREFETCH)),
        offload_optimizer=_is_offloaded(zero.get("offload_optimizer")),
        offload_weights=_is_offloaded(zero.get("offload_param")),
    )


def _is_offloaded(section: Any) -> bool:
    return isinstance(section, Mapping) and section.get("device", "none") != "none"


def trained_bytes(parameters: int, zero: ZeroSettings, *, average_on_card: bool = True) -> TrainedBytes:
    """Per card, for bf16 training of so many parameters; during the update with the temporaries of torch's AdamW on
    CUDA."""
    states = 0 if zero.offload_optimizer else parameters
    own = -(-parameters // zero.gpus)
    own_states = -(-states // zero.gpus) if zero.stage >= 1 else states
    buffers = zero.buffers * zero.bucket * BF16 if zero.stage >= 1 else 0
    weights = parameters
    if zero.stage == 3:
        weights = 0 if zero.offload_weights else own
        buffers += min(zero.live, parameters) * BF16
    return TrainedBytes(
        weights=BF16 * weights,
        gradients=0 if zero.offload_optimizer else BF16 * (own if zero.stage >= 2 else parameters),
        master=FP32 * own_states,
        moments=2 * FP32 * own_states,
        buffers=buffers,
        average=FP32 * parameters if average_on_card else 0,
        update=2 * FP32 * own_states,
    )


@dataclass(frozen=True)
class ResidentBytes:
    """Weights on the card while the transformer works, while the codec works, while the head works, if there is one,
    and those copied there in every step."""

    transformer: int
    codec: int
    head: int
    copied: int = 0


def resident_bytes(generator: Generator, offload: str) -> ResidentBytes:
    """Counts the weights on the card under a kind of `MemoryConfig.offload`. With blocks and leaves these are the one
    at work, the next one, which is already being fetched, and what is not in blocks or leaves."""
    transformer = [*generator.backbone.parameters(), *generator.branch.parameters()]
    codec = num_bytes([*generator.codec.parameters()])
    always = num_bytes([generator.prompt, *([] if generator.head is None else generator.head.parameters())])
    whole = num_bytes(transformer)
    if offload == "none":
        return ResidentBytes(*[whole + always + codec] * 3)
    groups = offload_groups(generator, offload)
    sizes = [num_bytes(group) for group in groups]
    pair = max((first + second for first, second in zip(sizes, sizes[1:], strict=False)), default=sum(sizes))
    return ResidentBytes(whole - sum(sizes) + pair + always, codec + always, always, sum(sizes))


def offload_groups(generator: Generator, offload: str) -> list[list[Tensor]]:
    """The weights that come and go together, in the order of execution; none for offload none and parts."""
    blocks: list[nn.Module] = [*generator.branch.blocks, *generator.backbone.blocks]
    if offload == "blocks":
        return [list(block.parameters()) for block in blocks]
    if offload == "leaves":
        return [list(layer.parameters()) for block in blocks for layer in linear_layers(block)]
    return []
