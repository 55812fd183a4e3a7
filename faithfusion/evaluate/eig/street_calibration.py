"""Measures the curves from EIG to expected error on streets, and the noise level that explains their true images."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from faithfusion.eig.assess import RecordedViews
from faithfusion.eig.calibrate import CalibrationBins, StreetCurves, measure_curves
from faithfusion.eig.config import EigConfig
from faithfusion.eig.field import withheld_bins
from faithfusion.eig.observe import Evidence, TrainingView, gather_evidence, whole_view
from faithfusion.eig.pixels_per_observation import surprise_of_levels
from faithfusion.eig.posterior import conclude
from faithfusion.evaluate.benchmark_config import StreetCalibrationConfig
from faithfusion.evaluate.street_scenes import FittedScene, TrueImage, fitted_street, informing_frames
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.progress import say


def calibrate_on_streets(config: StreetCalibrationConfig, command: str) -> None:
    """Fits the streets, chooses the noise level, measures the curves and writes them with `command` beside them."""
    scenes = [fitted_street(config, seed) for seed in config.seeds]
    evidence = [
        gather_evidence(scene.scene, RecordedViews(scene.drive.clip, informing_frames(scene, config)), config.eig)
        for scene in scenes
    ]
    eig = choose_level(scenes, evidence, config)
    write_curves(Path(config.file), measure_streets(scenes, evidence, eig), command)


def choose_level(
    scenes: Sequence[FittedScene], evidence: Sequence[Evidence], config: StreetCalibrationConfig
) -> EigConfig:
    """The level under which the true images beside the paths are most likely; says how the levels compare."""
    totals = np.zeros(len(config.levels))
    for scene, told in zip(scenes, evidence, strict=True):
        views = [_observed(true) for images in scene.truth.values() for true in images()][::4]
        totals += surprise_of_levels(scene.scene, told, views, config.levels)
    for level, total in zip(config.levels, totals / len(scenes), strict=True):
        say(f"{level:g} pixels per observation: mean surprise {total:.3f}")
    return dataclasses.replace(config.eig, pixels_per_observation=config.levels[int(totals.argmin())])


def measure_streets(scenes: Sequence[FittedScene], evidence: Sequence[Evidence], eig: EigConfig) -> StreetCurves:
    """Curves at every distance (both sides together; 0 m: held-out frames) and on withheld stretches."""
    beside: dict[float, CalibrationBins] = {}
    withheld = None
    for scene, told in zip(scenes, evidence, strict=True):
        posterior = conclude(scene.scene, told.counted(eig.pixels_per_observation))
        views = {0.0: RecordedViews(scene.drive.clip, scene.drive.split.held_out)}
        for shift_m, images in scene.truth.items():
            views[abs(shift_m)] = [*views.get(abs(shift_m), []), *map(_observed, images())]
        for distance_m, of_distance in views.items():
            bins = withheld_bins(scene.scene, posterior, of_distance)
            beside[distance_m] = bins if distance_m not in beside else beside[distance_m] + bins
        bins = withheld_bins(scene.scene, posterior, RecordedViews(scene.drive.clip, scene.drive.split.calibration))
        withheld = bins if withheld is None else withheld + bins
    return measure_curves(beside, withheld, eig)


def write_curves(path: Path, curves: StreetCurves, command: str) -> None:
    """JSON for `eig.calibrate.street_curves`, to seven digits."""
    plain = curves.beside.to_plain() | {"withheld_sq_errors": list(curves.withheld), "command": command}
    short = json.loads(json.dumps(plain), parse_float=lambda text: float(f"{float(text):.7g}"))
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(short) + "\n")
    say(f"wrote {path}: {curves.beside.pixels_per_observation:g} pixels per observation")


def _observed(true: TrueImage) -> TrainingView:
    return whole_view(true.camera, true.time_index, true.image)
