"""Settings of every training run, whatever its method: data, optimiser, log, average, validation, checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class DataConfig:
    """What is trained on.

    Attributes:
        train: The folder of shards to train on (`tools/make_pairs.py`).
        validation: The folder of shards for validation. Without it shards of `train` are held out.
        held_out_shards: So many of the last shards of `train` (by name) are kept for validation if `validation` is
            empty. A shard is one drive and kind of pairs, and those of one drive follow each other by name: hold out as
            many as the last drive has, and nothing of it is trained on.
        cache: The folder for latents, which are reused between runs. Without it `cache` in the run's folder is taken.
        horizontal_flip: Mirrors every second sample at random.
        micro_batch: The number of windows (or crops) per process and forward pass.
        crop_tokens: The height and width, in tokens of 16 pixels, of the crops that the generator is trained on; 0
            takes the whole.
        whole_share: The share of micro-batches of whole windows if `crop_tokens` cuts, so that attention also learns
            the distances between tokens that only occur there.
    """

    train: str = "data/pairs/train"
    validation: str = ""
    held_out_shards: int = 0
    cache: str = ""
    horizontal_flip: bool = True
    micro_batch: int = 4
    crop_tokens: tuple[int, int] = (0, 0)
    whole_share: float = 0.25

    def __post_init__(self) -> None:
        if self.micro_batch < 1 or self.held_out_shards < 0:
            found = f"micro_batch {self.micro_batch}, held_out_shards {self.held_out_shards}"
            raise InputError("data", found, "micro_batch of at least 1 and held_out_shards of at least 0")


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with warm-up and decay.

    Attributes:
        learning_rate: The peak learning rate.
        schedule: How the learning rate decays after the warm-up.
        warmup_steps: The learning rate rises linearly over so many steps.
        final_fraction: The last learning rate divided by the peak (cosine only).
        beta1: The decay of the first moment.
        beta2: The decay of the second moment.
        epsilon: The term that is added to the root of the second moment.
        weight_decay: The decoupled decay of matrices and kernels; biases, norms and other vectors have none.
        gradient_clipping: The largest global L2 norm of the gradient.
        accumulation_steps: The number of micro-batches per optimiser step.
    """

    learning_rate: float = 5e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: int = 100
    final_fraction: float = 0.02
    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    gradient_clipping: float = 1.0
    accumulation_steps: int = 1

    def __post_init__(self) -> None:
        for name in ("learning_rate", "gradient_clipping", "accumulation_steps"):
            if getattr(self, name) <= 0:
                raise InputError(f"optimizer.{name}", getattr(self, name), "a positive number")


@dataclass(frozen=True)
class EmaConfig:
    """Moving average of the weights.

    Attributes:
        decay: The weight of the old average per step; 0 keeps a plain copy of the weights.
        warmup: Uses min(decay, (1 + n) / (10 + n)) at step n, so that early averages forget the initial weights.
        every_steps: The average is updated every so many steps; the decay is taken to this power.
        on_cpu: Keeps the average in host memory, which saves 4 bytes per trained weight on the first card and costs a
            copy per update.
    """

    decay: float = 0.999
    warmup: bool = True
    every_steps: int = 1
    on_cpu: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.decay < 1.0:
            raise InputError("ema.decay", self.decay, "a number in [0, 1)")
        if self.every_steps < 1:
            raise InputError("ema.every_steps", self.every_steps, "at least 1")


@dataclass(frozen=True)
class LogConfig:
    """What is written while training.

    Attributes:
        every_steps: A line on stderr and a point in TensorBoard are written every so many steps; `log.jsonl` has every
            step.
        tensorboard: Writes TensorBoard events.
    """

    every_steps: int = 20
    tensorboard: bool = True


@dataclass(frozen=True)
class ValidationConfig:
    """Samples of held-out windows while training.

    Attributes:
        every_steps: Validation takes place every so many steps; 0 validates at the end only.
        num_windows: The number of windows, spread evenly over the held-out ones.
        profile_windows: The exported error profile is measured on so many windows.
        sampler_steps: The number of steps of the sampler; a distilled generator has those it was distilled for.
        sampler_temperature: The standard deviation of the sampler's noise; 1 for a distilled generator.
        high_error_quantile: Pixels above this quantile of the window's expected error make up `high`.
        videos: Writes render | result | truth as mp4.
    """

    every_steps: int = 1000
    num_windows: int = 4
    profile_windows: int = 12
    sampler_steps: int = 2
    sampler_temperature: float = 1.0
    high_error_quantile: float = 0.8
    videos: bool = True

    def __post_init__(self) -> None:
        if self.num_windows < 1 or self.profile_windows < 1 or self.sampler_steps < 1:
            raise InputError("validation", self, "num_windows, profile_windows and sampler_steps of at least 1")


@dataclass(frozen=True)
class CheckpointConfig:
    """How often state is saved.

    Attributes:
        every_steps: A checkpoint is written every so many steps, and always after the last one.
        keep_last: So many of the newest checkpoints are kept.
    """

    every_steps: int = 500
    keep_last: int = 2

    def __post_init__(self) -> None:
        if self.every_steps < 1 or self.keep_last < 1:
            raise InputError("checkpoint", self, "every_steps and keep_last of at least 1")
