"""What of a training run is exported, light to import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from faithfusion.video.editing.editor_config import SamplerConfig


@dataclass(frozen=True)
class ExportConfig:
    """What is exported.

    Attributes:
        run: The folder of the run; or the file of a finished generator, which gets another error profile.
        step: The step of one of its checkpoints; 0 takes the newest.
        out: The file to write. Without it generator.safetensors or fixer.safetensors in the run's folder is written.
        below: The file of the generator below a head, beside which `out` lies: the head is written alone.
        weights: "ema" takes the moving average, "raw" the weights themselves.
        dtype: The type of matrices and kernels in the file; vectors are always float32.
        device: Where the error profile is measured; "auto" is CUDA if there is a device.
        pairs: The folder of held-out shards on which the profile of a finished file is measured.
        profile_windows: The profile of a finished file is measured on so many of their windows, evenly spread.
        sampler: How a finished file is sampled for that; it asks for the same in later runs.
    """

    run: str
    step: int = 0
    out: str = ""
    below: str = ""
    weights: Literal["ema", "raw"] = "ema"
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    device: str = "auto"
    pairs: str = ""
    profile_windows: int = 12
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
