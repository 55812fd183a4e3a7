"""Does one training step. Every draw of it is a function of (seed, step, process), so a run continues exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from faithfusion.training.callbacks.base import Run, StepRecord
from faithfusion.training.data import ClipBatch, FixerBatch, LatentBatch, Sampler
from faithfusion.training.method import Dataset
from faithfusion.training.optimizer import STUDENT, learning_rate
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator
from faithfusion.video.model.conditioning import each_tensor


def train_step(run: Run, sampler: Sampler, dataset: Dataset) -> StepRecord:
    """Does every update of one step, forward and backward over its micro-batches, then the optimiser; advances `run`.

    Raises InputError on every process when a loss or gradient is not finite, before anything of the step is kept.
    """
    start = time.monotonic()
    rows: dict[str, list[dict[str, Tensor]]] = {role: [] for role in run.engine.roles}
    norms, tokens = {}, 0
    for number, role in enumerate(run.updates, run.step * len(run.updates)):
        norms[role], count = _update(run, role, number, (sampler, dataset), rows[role])
        tokens += count
    means = {prefixed(role, name): value for role, of_role in rows.items() for name, value in _means(of_role).items()}
    means["tokens"] = torch.tensor(float(tokens))
    values = run.engine.mean_over_ranks(means)
    tokens = round(values.pop("tokens") * run.engine.topology.world_size)
    values |= {f"{role}_gradient_norm": norm for role, norm in norms.items() if role != STUDENT}
    _require_finite(run, values, norms)
    rate = _rate(run, STUDENT)
    run.step += 1
    return StepRecord(values, rate, norms[STUDENT], time.monotonic() - start, tokens)


def prefixed(role: str, name: str) -> str:
    """A role's value in the log: the student's keep their names."""
    return name if role == STUDENT else f"{role}_{name}"


def _update(
    run: Run, role: str, number: int, source: tuple[Sampler, Dataset], rows: list[dict[str, Tensor]]
) -> tuple[float, int]:
    """Does one optimiser step of a role, the `number`-th of the run. Returns its gradient norm and how many tokens it
    saw."""
    sampler, dataset = source
    topology, seed = run.engine.topology, run.config.seed
    accumulation = run.config.optimizer.accumulation_steps
    norm, tokens = 0.0, 0
    for micro_step in range(number * accumulation, (number + 1) * accumulation):
        picks = sampler.picks(micro_step, topology.rank, topology.world_size)
        batch = dataset.batch(picks, make_generator(seed, "batch", micro_step, topology.rank))
        batch = each_tensor(batch, lambda values: values.to(topology.device))
        draws = make_generator(seed, "draws", micro_step, topology.rank, device=topology.device)
        loss, values = run.engine.forward(role, batch, draws)
        run.engine.backward(role, loss)
        rows.append({"loss": loss.detach(), **{name: value.detach() for name, value in values.items()}})
        norm = run.engine.step(role, _rate(run, role))
        tokens += num_tokens(batch)
    return norm, tokens


def num_tokens(batch: ClipBatch | LatentBatch | FixerBatch) -> int:
    """Transformer tokens of a batch; codec and fixer have none."""
    return batch.conditions.phi.numel() if isinstance(batch, LatentBatch) else 0


def _means(rows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([row[name].float() for row in rows]).mean() for name in rows[0]} if rows else {}


def _rate(run: Run, role: str) -> float:
    return learning_rate(run.engine.roles[role].optimizer, run.step, progress(run))


def _require_finite(run: Run, values: dict[str, float], norms: dict[str, float]) -> None:
    losses = {name: values[prefixed(name, "loss")] for name in norms}
    if all(math.isfinite(value) for value in (*losses.values(), *norms.values())):
        return
    found = ", ".join(f"{prefixed(role, 'loss')} {losses[role]}, gradient norm {norms[role]}" for role in norms)
    expected = "finite numbers (checkpoints of earlier steps are kept; try a lower optimizer.learning_rate)"
    raise InputError(f"{run.folder} step {run.step + 1}", found, expected)


def progress(run: Run) -> float:
    """The finished part of the run in [0, 1], by steps or by time, whichever is further."""
    by_steps = run.step / run.config.num_steps
    limit_s = 60.0 * run.config.max_minutes
    return max(by_steps, min(1.0, run.elapsed_s / limit_s)) if limit_s > 0 else by_steps
