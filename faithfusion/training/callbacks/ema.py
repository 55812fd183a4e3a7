"""Exponential moving average of the trained weights, in fp32, on the first process."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from faithfusion.training.callbacks.base import Callback, Run, StepRecord
from faithfusion.training.run_config import EmaConfig
from faithfusion.utils.errors import InputError

EMA_FILE = "ema.safetensors"


class Ema(Callback):
    """The student's average, by parameter name. Gathering sharded weights needs every process, keeping them only the
    first."""

    def __init__(self, config: EmaConfig) -> None:
        self._config = config
        self.weights: dict[str, Tensor] = {}

    def start(self, run: Run) -> None:
        """Begins with the initial weights unless a checkpoint was loaded."""
        begin = run.is_first and not self.weights
        for name, weight in run.engine.weights():
            if begin:
                self.weights[name] = weight.to(self._device(run), copy=True)

    def step_done(self, run: Run, record: StepRecord) -> None:
        """Moves the average towards the current weights."""
        last = run.step == run.config.num_steps
        if run.step % self._config.every_steps and not last:
            return
        keep = self._decay(run.step)
        for name, weight in run.engine.weights():
            if run.is_first:
                self.weights[name].lerp_(weight.to(self.weights[name].device), 1.0 - keep)

    def _device(self, run: Run) -> torch.device:
        return torch.device("cpu") if self._config.on_cpu else run.engine.topology.device

    def _decay(self, step: int) -> float:
        decay = min(self._config.decay, (1 + step) / (10 + step)) if self._config.warmup else self._config.decay
        return decay**self._config.every_steps

    def save(self, run: Run, folder: Path) -> None:
        """Writes `ema.safetensors`."""
        if run.is_first:
            save_file({name: weight.cpu().contiguous() for name, weight in self.weights.items()}, folder / EMA_FILE)

    def load(self, run: Run, folder: Path) -> None:
        """Reads `ema.safetensors`."""
        if run.is_first:
            self.weights = load_file(folder / EMA_FILE, device=str(self._device(run)))


def copy_weights(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copies `weights` into the parameters of the same names. InputError for a name or shape that `module` lacks."""
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            if name not in parameters or parameters[name].shape != weight.shape:
                raise InputError(f"weight {name}", tuple(weight.shape), "a parameter of this model with the same shape")
            parameters[name].copy_(weight)
