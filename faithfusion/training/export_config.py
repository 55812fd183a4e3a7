"""What of a training run is exported, light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ExportConfig:
    """What is exported.

    Attributes:
        run: The folder of the run.
        step: The step of one of its checkpoints; 0 takes the newest.
        out: The file to write. Without it generator.safetensors or fixer.safetensors in the run's folder is written.
        weights: "ema" takes the moving average, "raw" the weights themselves.
        dtype: The type of matrices and kernels in the file; vectors are always float32.
        device: Where the error profile is measured; "auto" is CUDA if there is a device.
    """

    run: str
    step: int = 0
    out: str = ""
    weights: Literal["ema", "raw"] = "ema"
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    device: str = "auto"
