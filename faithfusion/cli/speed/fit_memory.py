"""Measures what a fit holds in memory, and whether that grows with the drive."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import resource
import tempfile
from pathlib import Path
from statistics import median

from faithfusion.cli.speed.speed_config import FitMemoryConfig
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.split_config import SplitConfig
from faithfusion.data.splits import split_clip
from faithfusion.fit.fit import fit_scene
from faithfusion.street.writer import make_street


def bench_memory(config: FitMemoryConfig) -> None:
    """Prints one row per fit: frames, Gaussians, peak resident memory, median seconds per step (all at full
    resolution) in the first and in the last third."""
    with tempfile.TemporaryDirectory() as scratch:
        drive = Path(config.drive) if config.drive else _make_drive(config, Path(scratch) / "drive")
        print("| frames | ceiling | Gaussians | peak MiB | s / step, first third | last third |\n" + "|---" * 6 + "|")
        usual = (config.fit.initialise.max_gaussians, config.fit.densify.max_gaussians)
        plans = [(frames, *usual) for frames in config.num_frames]
        plans += [(config.num_frames[0], ceiling, ceiling) for ceiling in config.ceilings]
        for frames, start, ceiling in plans:
            report = Path(scratch) / "report.json"
            arguments = (str(drive), frames, start, ceiling, config, str(report))
            process = multiprocessing.get_context("spawn").Process(target=_fit_once, args=arguments)
            process.start()
            process.join()
            if process.exitcode != 0:
                raise RuntimeError(f"the fit of {frames} frames ended with code {process.exitcode}")
            row = json.loads(report.read_text())
            print("| " + " | ".join(row) + " |", flush=True)


def _make_drive(config: FitMemoryConfig, out: Path) -> Path:
    longest = max(config.num_frames)
    make_street(dataclasses.replace(config.street, num_frames=longest, shifts_m=()), out)
    return out


def _fit_once(drive: str, num_frames: int, start: int, ceiling: int, config: FitMemoryConfig, report: str) -> None:
    """Runs in its own process: peak memory is a property of a process."""
    clip = read_drive(Path(drive), num_frames=num_frames)
    densify = dataclasses.replace(config.fit.densify, max_gaussians=ceiling)
    initialise = dataclasses.replace(config.fit.initialise, max_gaussians=start)
    fit = dataclasses.replace(
        config.fit, steps=config.steps, half_resolution_steps=0, densify=densify, initialise=initialise
    )
    scene, log = fit_scene(clip, split_clip(clip, SplitConfig()).train, fit)
    third = config.steps // 3
    first_s, last_s = median(log.step_seconds[1:third]), median(log.step_seconds[-third:])
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = [
        f"{num_frames}",
        f"{ceiling}",
        f"{scene.gaussians.num}",
        f"{peak_mib:.0f}",
        f"{first_s:.3f}",
        f"{last_s:.3f}",
    ]
    Path(report).write_text(json.dumps(row))
