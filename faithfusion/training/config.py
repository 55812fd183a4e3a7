"""The configuration of a training run: one YAML file of `configs/train_video`, command line options on top."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from faithfusion.training.method_config import (
    CodecMethodConfig,
    DistributionMatchingConfig,
    FixerMethodConfig,
    FlowConfig,
)
from faithfusion.training.run_config import (
    CheckpointConfig,
    DataConfig,
    EmaConfig,
    LogConfig,
    OptimizerConfig,
    ValidationConfig,
)
from faithfusion.utils.errors import InputError
from faithfusion.video.model.config import GeneratorConfig


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run depends on; `run` may move, `log`, `validation` and `checkpoint` may change on resuming.

    Attributes:
        run: Folder of the run: checkpoints, logs, exported weights.
        method: "codec" trains the video codec, "flow" the generator on a trained codec's latents,
            "distribution_matching" distils a generator trained so into one of few sampler steps; "fixer" trains the
            single-image fixer, another model (`fixer.model`), to which `generator`, `codec_from` and
            `vae_tile_pixels` mean nothing.
        init_from: Weights file to start from (`weights.generator_file`), prompt embedding included; empty for random
            weights on top of public ones (`generator.pretrained`), if given. The teacher, with distribution_matching.
        codec_from: Weights file whose codec is taken; empty for the codec of `init_from` or the public one.
        num_steps: Optimiser steps of the whole run.
        max_minutes: If positive, the learning rate decays by time too and training ends after so many minutes in all;
            such a run is not exactly repeatable.
        seed: Seed of every random draw.
        precision: Precision of the trained weights: auto = bf16 with an fp32 master copy on CUDA, fp32 on CPU.
        frozen_precision: Precision of the backbone, or the fixer's U-Net, where it is not trained: auto = bf16 on CUDA,
            fp32 on CPU. Norms, modulation and time embedding stay in fp32, and so do codec and the fixer's VAE.
        gradient_checkpointing: Recompute the activations of each transformer block in the backward pass: a third more
            time, a fraction of the memory.
        vae_tile_pixels: Side of the tiles in which the codec encodes and decodes; 0 for whole frames.
        deepspeed: DeepSpeed configuration file; see ds_configs/README.md.
        generator: Architecture (a weights file given by `init_from` must have the same).
        data: Shards and micro-batches.
        optimizer: AdamW and learning rate.
        flow: Settings of the method "flow"; `flow.trainable` and `flow.phi` also of "distribution_matching".
        distribution_matching: Settings of that method.
        codec: Settings of the method "codec".
        fixer: Settings of the method "fixer", and its model.
        ema: Moving average of the weights.
        log: What is written while training.
        validation: Samples of held-out windows.
        checkpoint: How often state is saved.
    """

    run: str = "runs/train_video"
    method: Literal["flow", "distribution_matching", "codec", "fixer"] = "flow"
    init_from: str = ""
    codec_from: str = ""
    num_steps: int = 1000
    max_minutes: float = 0.0
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    frozen_precision: Literal["auto", "fp32", "bf16"] = "auto"
    gradient_checkpointing: bool = False
    vae_tile_pixels: int = 0
    deepspeed: str = "ds_configs/cpu.json"
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    distribution_matching: DistributionMatchingConfig = field(default_factory=DistributionMatchingConfig)
    codec: CodecMethodConfig = field(default_factory=CodecMethodConfig)
    fixer: FixerMethodConfig = field(default_factory=FixerMethodConfig)
    ema: EmaConfig = field(default_factory=EmaConfig)
    log: LogConfig = field(default_factory=LogConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise InputError("num_steps", self.num_steps, "at least 1")
        if self.max_minutes < 0:
            raise InputError("max_minutes", self.max_minutes, "0 (no limit) or a number of minutes")
        self._check_start()
        self._check_trained()

    def _check_start(self) -> None:
        if self.method == "distribution_matching" and not self.init_from:
            raise InputError("init_from", "empty", "the trained generator that method distribution_matching distils")
        if self.method == "fixer" and self.codec_from:
            raise InputError("codec_from", self.codec_from, "none: method fixer works in pixels")
        has_codec = self.init_from or self.codec_from or self.generator.pretrained.codec_source
        if self.codec_from and self.generator.pretrained.codec_source:
            raise InputError("codec_from", self.codec_from, f"none beside {self.generator.pretrained.codec_source}")
        if self.method == "flow" and not has_codec:
            raise InputError("codec_from", "empty", "a weights file with a trained codec, because method is flow")

    def _check_trained(self) -> None:
        public, lora = self.generator.pretrained, self.generator.lora.rank
        if self.method == "codec" and public.codec_source:
            raise InputError("method", "codec", f"flow, because the codec is the public {public.codec_source}")
        if self.method in ("codec", "fixer") or self.flow.trainable == "branch":
            return
        if public.model or lora:
            found = f"all with {'generator.pretrained.model' if public.model else f'generator.lora.rank {lora}'}"
            raise InputError("flow.trainable", found, "branch: the backbone stays as it is")
