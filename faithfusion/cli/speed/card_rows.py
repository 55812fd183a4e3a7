"""Makes one row of the benchmark of a card: what is run, on which numbers, and how it is timed."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from faithfusion.cli.speed.speed_config import CardConfig
from faithfusion.video.model.conditioning import LatentConditions
from faithfusion.video.plan.plan import PlanRequest
from faithfusion.video.plan.plan_models import empty_conditions, tensors_of

GB, TERA = 1e9, 1e12


def random_conditions(request: PlanRequest, active: float, device: torch.device, batch: int = 1) -> LatentConditions:
    """Conditions of clips of the planned size, filled with numbers in [0, 1]; phi is 1 for the first `active` of the
    tokens, else 0."""
    drawn = empty_conditions(request.generator, request.size, batch, request.references, active, device)
    for tensor in tensors_of(drawn):
        if tensor is not drawn.phi:
            tensor.uniform_()
    return dataclasses.replace(drawn, phi=drawn.phi.to(device))


def print_row(
    label: str, work: Callable[[], object], options: CardConfig, device: torch.device, *, is_counted: bool = True
) -> None:
    """Times `options.repeats` runs after one for warm-up and one for the peak; a last one counts operations. Those of a
    training step cannot be counted: torch's counter would keep what recomputation makes, more than a card holds."""
    work()
    peak, operations = _peak_gb(work, device), "- | -"
    seconds = _median_s(work, options.repeats, device)
    if is_counted:
        with FlopCounterMode(display=False) as counter:
            work()
        tera = counter.get_total_flops() / TERA
        operations = f"{tera:.3g} | {tera / seconds:.3g}"
    print(f"| {label} | {seconds:.3f} | {operations} | {peak} |", flush=True)


def _peak_gb(work: Callable[[], object], device: torch.device) -> str:
    """The peak of memory, weights and all; a dash where nobody counts."""
    if device.type != "cuda":
        return "-"
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return f"{torch.cuda.max_memory_allocated(device) / GB:.2f}"


def _median_s(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    times = []
    for _ in range(repeats):
        _finish(device)
        start = time.perf_counter()
        work()
        _finish(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
