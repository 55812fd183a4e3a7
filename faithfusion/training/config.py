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
        run: The folder of the run, which gets checkpoints, logs and exported weights.
        method: What is trained: "codec" trains the video codec, "flow" the generator on the latents of a trained codec,
            and "distribution_matching" distils such a generator into one of few sampler steps. "fixer" trains the
            single-image fixer, another model (`fixer.model`), to which `generator`, `codec_from` and `vae_tile_pixels`
            mean nothing. "head" trains the head of a trained generator (`generator.head`), which stays as it is, on the
            clips that it makes of the training windows.
        init_from: A weights file to start from (`weights.generator_file`), prompt embedding included; it is the teacher
            with distribution_matching, and the generator with head. Without it training starts from random weights on
            top of public ones (`generator.pretrained`), if there are some.
        codec_from: A weights file whose codec is taken. Without it the codec is that of `init_from`, or the public one.
        head_from: A small fixer (`method: fixer`) as which the head starts, even if `init_from` has one; it has the
            head's `num_views`, `channels`, `reach` and `slide_px`. Without it a new head leaves the clip as it is.
        num_steps: The number of optimiser steps of the whole run.
        max_minutes: If it is positive, the learning rate decays by time too and training ends after so many minutes in
            all; such a run is not exactly repeatable.
        seed: The seed of every random draw.
        precision: The precision of the trained weights: "auto" is bf16 with an fp32 master copy on CUDA, and fp32 on a
            CPU.
        frozen_precision: The precision of the backbone, or of the fixer's U-Net, where it is not trained: "auto" is
            bf16 on CUDA and fp32 on a CPU. Norms, modulation and time embedding stay in fp32, and so do the codec and
            the fixer's VAE.
        gradient_checkpointing: Recomputes the activations of each transformer block in the backward pass, which takes a
            third more time and a fraction of the memory.
        vae_tile_pixels: The side of the tiles in which the codec encodes and decodes; 0 takes whole frames.
        deepspeed: The DeepSpeed configuration file; see ds_configs/README.md.
        generator: The architecture (a weights file given by `init_from` must have the same).
        data: The shards and micro-batches.
        optimizer: AdamW and its learning rate.
        flow: The method "flow"; `flow.trainable` and `flow.phi` also count for "distribution_matching".
        distribution_matching: The method "distribution_matching".
        codec: The method "codec".
        fixer: The method "fixer", and its model; "head" reads it, too, all but `model`, `after` and `render_mix`.
        ema: The moving average of the weights.
        log: What is written while training.
        validation: The samples of held-out windows.
        checkpoint: How often the state is saved.
    """

    run: str = "runs/train_video"
    method: Literal["flow", "distribution_matching", "codec", "fixer", "head"] = "flow"
    init_from: str = ""
    codec_from: str = ""
    head_from: str = ""
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
        self._check_head()

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
        if self.method in ("codec", "fixer", "head") or self.flow.trainable == "branch":
            return
        if public.model or lora:
            found = f"all with {'generator.pretrained.model' if public.model else f'generator.lora.rank {lora}'}"
            raise InputError("flow.trainable", found, "branch: the backbone stays as it is")

    def _check_head(self) -> None:
        head = self.generator.head
        if (self.method == "head") != (head is not None):
            expected = "one with method head, and none with the others, because a head is trained on finished weights"
            raise InputError("generator.head", "none" if head is None else head, expected)
        if head is None and self.head_from:
            raise InputError("head_from", self.head_from, "none without a head (generator.head)")
        if head is None:
            return
        if not (self.init_from or self.generator.pretrained.model):
            raise InputError("init_from", "empty", "the trained generator whose head is to be trained")
        if self.fixer.crop_frames == 1 and (head.reach or self.fixer.flicker_weight):
            found = f"1 with generator.head.reach {head.reach}, flicker_weight {self.fixer.flicker_weight}"
            raise InputError("fixer.crop_frames", found, "more where frames see each other")
