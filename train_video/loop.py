"""One optimiser step, every draw of which is a function of (seed, step, process): a run continues exactly."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator
from train_video.callbacks.base import Run, StepRecord
from train_video.data import Sampler
from train_video.method import Dataset
from train_video.optimizer import learning_rate


def train_step(run: Run, sampler: Sampler, dataset: Dataset) -> StepRecord:
    """Forward and backward over the micro-batches of one step, then the update; advances `run`.

    Raises InputError on every process when loss or gradient is not finite, before anything of the step is kept.
    """
    start = time.monotonic()
    rate = learning_rate(run.config.optimizer, run.step, progress(run))
    accumulation = run.config.optimizer.accumulation_steps
    rows, norm = [], 0.0
    for micro_step in range(run.step * accumulation, (run.step + 1) * accumulation):
        rows.append(_micro_batch(run, sampler, dataset, micro_step))
        norm = run.engine.step(rate)
    means = {name: torch.stack([row[name] for row in rows]).mean() for name in rows[0]}
    values = run.engine.mean_over_ranks(means)
    _require_finite(run, values["loss"], norm)
    run.step += 1
    seconds = time.monotonic() - start
    return StepRecord(values, rate, norm, seconds)


def _micro_batch(run: Run, sampler: Sampler, dataset: Dataset, micro_step: int) -> dict[str, Tensor]:
    topology, seed = run.engine.topology, run.config.seed
    picks = sampler.picks(micro_step, topology.rank, topology.world_size)
    batch = dataset.batch(picks, make_generator(seed, "batch", micro_step, topology.rank)).to(topology.device)
    draws = make_generator(seed, "draws", micro_step, topology.rank, device=topology.device)
    loss, values = run.engine.forward(batch, draws)
    run.engine.backward(loss)
    return {"loss": loss.detach(), **{name: value.detach() for name, value in values.items()}}


def _require_finite(run: Run, loss: float, gradient_norm: float) -> None:
    if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
        found = f"loss {loss}, gradient norm {gradient_norm}"
        expected = "finite numbers (checkpoints of earlier steps are kept; try a lower optimizer.learning_rate)"
        raise InputError(f"{run.folder} step {run.step + 1}", found, expected)


def progress(run: Run) -> float:
    """The finished part of the run in [0, 1], by steps or by time, whichever is further."""
    by_steps = run.step / run.config.num_steps
    limit_s = 60.0 * run.config.max_minutes
    return max(by_steps, min(1.0, run.elapsed_s / limit_s)) if limit_s > 0 else by_steps
