"""The options of tools/plan_memory.py, light to import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from faithfusion.utils.errors import InputError
from faithfusion.video.model.memory_config import MemoryConfig


@dataclass(frozen=True)
class PlanOptions:
    """The options of a plan.

    Attributes:
        model: 1.3b, 14b (Wan2.1 T2V with a branch of 2 blocks), vace-1.3b, vace-14b (with the public adapter's) or
            wan-tiny.
        branch: dit or vace instead of the model's own start of the branch.
        blocks: branch blocks; 0: the model's.
        lora: rank of low-rank updates of the backbone; 0: none.
        generator: YAML file of a generator (configs/generator) instead of the model.
        train: YAML file of a training run (configs/train_video): generator, micro-batch, DeepSpeed file and the rest.
        refine: YAML file of a refinement (configs/refine): generator, window and memory.
        frames: 4k + 1.
        height: a multiple of 16, pixels.
        width: a multiple of 16, pixels.
        active: fractions of the tokens for which sparse sampling is planned.
        references: views, for a branch that reads them.
        zero: stage of DeepSpeed's ZeRO, with the settings of ds_configs.
        deepspeed: another DeepSpeed file instead.
        gpus: cards in training.
        micro_batch: windows per card in training.
        checkpointing: recompute activations in the backward pass.
        parts: what to plan; all takes about a minute for the largest model.
        memory: precisions, VAE tiles. All kinds of offloading are printed.
    """

    model: str = "1.3b"
    branch: Literal["", "dit", "vace"] = ""
    blocks: int = 0
    lora: int = 0
    generator: str = ""
    train: str = ""
    refine: str = ""
    frames: int = 49
    height: int = 480
    width: int = 832
    active: float | list[float] = field(default_factory=lambda: [0.3])
    references: int = 1
    zero: Literal[0, 1, 2, 3] = 0
    deepspeed: str = ""
    gpus: int = 1
    micro_batch: int = 1
    checkpointing: bool = True
    parts: Literal["all", "sampling", "training", "codec"] = "all"
    memory: MemoryConfig = field(default_factory=MemoryConfig)

    def __post_init__(self) -> None:
        given = [name for name in ("generator", "train", "refine") if getattr(self, name)]
        if len(given) > 1:
            raise InputError(" and ".join(given), "more than one file", "one of them, or only --model")
