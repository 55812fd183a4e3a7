"""What a piece of work costs: seconds of many runs, and the peak of memory during one."""

from __future__ import annotations

import contextlib
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

MIB = 2**20
WARM_UPS = 2
COST_HEADS = ("min s", "median s", "max s", "peak MiB")


@dataclass(frozen=True)
class Cost:
    """Wall time of one run in seconds, and the peak of memory in MiB."""

    min_s: float
    median_s: float
    max_s: float
    peak_mib: float

    def cells(self) -> list[str]:
        """In the order of COST_HEADS."""
        return [f"{seconds:.4f}" for seconds in (self.min_s, self.median_s, self.max_s)] + [f"{self.peak_mib:.0f}"]


def cost_of(work: Callable[[], object], repetitions: int, device: torch.device | str) -> Cost:
    """The cost of `work`, timed after runs for warm-up; the last of these is the one whose peak counts."""
    device = torch.device(device)
    for _ in range(WARM_UPS - 1):
        work()
    peak = peak_mib(work, device)
    times = [seconds_of(work, device) for _ in range(repetitions)]
    return Cost(min(times), statistics.median(times), max(times), peak)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of one run, until the device has finished."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def peak_mib(work: Callable[[], object], device: torch.device) -> float:
    """The peak during one run: what CUDA's allocator has given out, or the resident memory of this process with all
    that it holds, libraries included.

    Where a process cannot reset its own peak (Linux can), it is the peak since the process began.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) / MIB
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def print_head(*heads: str) -> None:
    """The first two lines of a Markdown table."""
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")


def print_row(*cells: str) -> None:
    """One more line of it."""
    print("| " + " | ".join(cells) + " |", flush=True)
