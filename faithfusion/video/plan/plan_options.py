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
        model: The model: 1.3b or 14b (Wan2.1 T2V with a branch of 2 blocks), vace-1.3b or vace-14b (with the public
            adapter), or wan-tiny.
        branch: Starts the branch as dit or vace instead of as the model's own.
        blocks: The number of blocks of the branch; 0 takes the model's.
        lora: The rank of low-rank updates of the backbone; 0 plans none.
        generator: A YAML file of a generator (configs/generator) instead of a model.
        train: A YAML file of a training run (configs/train_video), which says generator, micro-batch, DeepSpeed file
            and the rest.
        refine: A YAML file of a refinement (configs/refine), which says generator, window and memory.
        frames: The number of frames of a clip, 4k + 1.
        height: The height of a frame in pixels, a multiple of 16.
        width: The width of a frame in pixels, a multiple of 16.
        active: The shares of the tokens for which sparse sampling is planned.
        references: The number of recorded views, for a branch that reads them.
        zero: The stage of DeepSpeed's ZeRO, with the settings of ds_configs.
        deepspeed: A DeepSpeed file instead of those.
        gpus: The number of cards in training.
        micro_batch: The number of windows per card in training.
        checkpointing: Recomputes activations in the backward pass.
        parts: What is planned; "all" takes about a minute for the largest model.
        memory: Precisions and VAE tiles. All kinds of offloading are printed.
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
