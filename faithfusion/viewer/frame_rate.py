"""Measures how many pictures the viewer draws in a second, without a browser."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

from faithfusion.eig.field import EigField
from faithfusion.viewer.knowledge import learn
from faithfusion.viewer.render import draw
from faithfusion.viewer.run_folder import Run
from faithfusion.viewer.state import Quantity, ViewState

MEASURED: tuple[Quantity, ...] = ("colour", "depth", "EIG")


@dataclass(frozen=True)
class Rate:
    """The speed of drawing: pictures per second by the median and by the shortest time, and the median processor time
    of one picture over all cores, which hardly depends on what else runs."""

    median: float
    best: float
    cpu_s: float


def frames_per_second(run: Run, width: int, num_pictures: int) -> dict[Quantity, Rate]:
    """The speed of each quantity for pictures 2 m to the left along the drive, after two that do not count."""
    name = list(run.versions)[-1]
    rates = {}
    for quantity in MEASURED:
        wall_s, cpu_s = zip(*_seconds(run, name, quantity, width, num_pictures), strict=True)
        rates[quantity] = Rate(1.0 / statistics.median(wall_s), 1.0 / min(wall_s), statistics.median(cpu_s))
    return rates


def _seconds(run: Run, name: str, quantity: Quantity, width: int, num_pictures: int) -> list[tuple[float, float]]:
    known: dict[str, EigField] = {name: learn(run, name)} if quantity == "EIG" else {}
    camera = run.clip.frame(0, run.camera_name).camera
    seconds = []
    for number in range(num_pictures + 2):
        canvas = (camera.width, camera.height)
        state = ViewState(name, quantity, number % run.clip.num_frames, run.camera_name, 2.0, canvas)
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        draw(run, state, width, known)
        seconds.append((time.perf_counter() - start_s, time.process_time() - start_cpu_s))
    return seconds[2:]
