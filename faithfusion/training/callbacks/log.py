"""Writes losses, throughput and memory to `log.jsonl`, TensorBoard and, now and then, one line on stderr."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from faithfusion.training.callbacks.base import Callback, Run, StepRecord
from faithfusion.training.run_config import LogConfig
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.progress import say

LOG_FILE = "log.jsonl"


class Log(Callback):
    """Writes on the first process. After a resume the lines of steps that are done again are dropped first."""

    def __init__(self, config: LogConfig) -> None:
        self._config = config
        self._writer: SummaryWriter | None = None

    def start(self, run: Run) -> None:
        """Opens the log; drops what lies beyond the step that the run continues from."""
        if not run.is_first:
            return
        keep_until(run.folder / LOG_FILE, run.step)
        if self._config.tensorboard:
            self._writer = SummaryWriter(run.folder / "tensorboard", purge_step=run.step + 1)

    def step_done(self, run: Run, record: StepRecord) -> None:
        """Writes one line per step."""
        if not run.is_first:
            return
        rates = {"learning_rate": record.learning_rate, "gradient_norm": record.gradient_norm}
        rates |= {"steps_per_s": 1.0 / record.seconds, "elapsed_s": run.elapsed_s}
        rates |= {"peak_memory_gib": peak_memory_gib(run.engine.topology.device)}
        if record.tokens:
            rates["tokens_per_s"] = record.tokens / record.seconds
        append_line(run.folder / LOG_FILE, {"step": run.step, **record.values, **rates})
        if run.step % self._config.every_steps and run.step not in (1, run.config.num_steps):
            return
        if self._writer is not None:
            for name, value in {**record.values, **rates}.items():
                self._writer.add_scalar(f"train/{name}", value, run.step)
        say(_line(run, record))

    def close(self, run: Run) -> None:
        """Flushes TensorBoard."""
        if self._writer is not None:
            self._writer.close()


def peak_memory_gib(device: torch.device) -> float:
    """The most memory that this process has had so far: tensors on a CUDA card, else everything in host memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _line(run: Run, record: StepRecord) -> str:
    left_min = (run.config.num_steps - run.step) * record.seconds / 60.0
    if run.config.max_minutes > 0:
        left_min = min(left_min, max(0.0, run.config.max_minutes - run.elapsed_s / 60.0))
    return (
        f"step {run.step}/{run.config.num_steps}: loss {record.values['loss']:.5f}, "
        f"learning rate {record.learning_rate:.2e}, gradient {record.gradient_norm:.3f}, "
        f"{1.0 / record.seconds:.2f} steps/s, {peak_memory_gib(run.engine.topology.device):.1f} GiB, "
        f"{left_min:.1f} min left"
    )


def append_line(path: Path, values: dict[str, object]) -> None:
    """Adds one JSON object to a file of lines."""
    with path.open("a") as file:
        file.write(json.dumps(values) + "\n")


def keep_until(path: Path, step: int) -> None:
    """Keeps the lines of steps up to `step`; a half-written last line of a killed run is dropped too."""
    if not path.is_file():
        return
    kept = [line for line in path.read_text().splitlines() if (found := _step_of(line)) is not None and found <= step]
    with atomic_file(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in kept))


def _step_of(line: str) -> int | None:
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError):
        return None
