"""One row of the benchmark of a card: what is run, on which numbers, and how it is timed."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from faithfusion.utils.errors import InputError
from faithfusion.video.model.conditioning import LatentConditions
from faithfusion.video.plan.plan import PlanRequest
from faithfusion.video.plan.plan_models import empty_conditions, tensors_of
from faithfusion.video.plan.plan_options import PlanOptions

GB, TERA = 1e9, 1e12


@dataclass(frozen=True)
class CardConfig(PlanOptions):
    """A generator's steps on a device, measured.

    With weights of random numbers, what tools/plan_memory.py predicts for the same options, offloading aside. Training,
    with `train` only, is the real step in one process (`gpus` and `zero` say nothing): DeepSpeed, the method, and the
    moving average as often as the run moves it. The weights are built in float32 on the device, 4 bytes each.

    Attributes:
        device: auto, cuda or cpu. Peaks are those of CUDA's allocator, without context and fragmentation; the CPU has
            none. Training is on CUDA if there is a device.
        repeats: timed runs; the median counts.
    """

    device: str = "auto"
    repeats: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.repeats < 1:
            raise InputError("repeats", self.repeats, "at least 1")


def random_conditions(request: PlanRequest, active: float, device: torch.device, batch: int = 1) -> LatentConditions:
    """Conditions of clips of the planned size, filled with numbers in [0, 1]; phi is 1 for the first `active` of the
    tokens, else 0."""
    drawn = empty_conditions(request.generator, request.size, batch, request.references, active, device)
    phi = drawn.phi.to(device)
    for tensor in tensors_of(dataclasses.replace(drawn, phi=phi.new_zeros(0))):
        tensor.uniform_()
    return dataclasses.replace(drawn, phi=phi)


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
    """Weights and all; a dash where nobody counts."""
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
