"""Ways to reconstruct, compared on streets with truth: every variant is a file of fit options."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.splits import split_clip
from faithfusion.evaluate.benchmark_config import SceneBenchmarkConfig
from faithfusion.evaluate.metrics.recorded_frames import score_frames
from faithfusion.evaluate.metrics.surface_scores import score_regions
from faithfusion.fit.fit import fit_scene
from faithfusion.fit.fit_config import FitConfig
from faithfusion.scene.fitted_poses import clip_as_fitted
from faithfusion.scene.scene_file import load_scene, save_scene
from faithfusion.street.street_config import StreetConfig
from faithfusion.street.writer import make_street
from faithfusion.types import DriveClip, GaussianScene
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.device import choose_device
from faithfusion.utils.stage_log import StageLog


def run_scene_benchmark(config: SceneBenchmarkConfig) -> dict[str, dict[str, float]]:
    """{variant: {score: mean over streets}}. Raises InputError before any work for a variant that cannot be read."""
    fits = {Path(path).stem: parse_config(FitConfig, ["--config", path]) for path in config.variants}
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in fits}
    for seed in config.seeds:
        street = dataclasses.replace(config.street, seed=seed, shifts_m=config.shifts_m)
        drive = Path(config.out) / f"street_{seed}"
        make_street(street, drive)
        for name, fit in fits.items():
            folder = Path(config.out) / name / f"street_{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            rows[name].append(_score_variant(config, street, drive, fit, folder))
    return {name: _mean(part) for name, part in rows.items()}


def _score_variant(
    config: SceneBenchmarkConfig, street: StreetConfig, drive: Path, fit: FitConfig, folder: Path
) -> dict[str, float]:
    log, path, scores = StageLog(folder), folder / "scene.safetensors", folder / "scores.json"
    clip = read_drive(drive)
    split = split_clip(clip, config.split)

    def reconstruct() -> None:
        scene, fit_log = fit_scene(clip, split.train, fit, state_path=folder / "fit_state.safetensors")
        save_scene(path, scene, {"clip": clip.name, "fit_seconds": fit_log.seconds})
        (folder / "fit_state.safetensors").unlink(missing_ok=True)

    def score() -> None:
        scene, metadata = load_scene(path, choose_device(fit.device))
        row = _score_scene(scene, clip_as_fitted(clip, scene), config, street)
        with atomic_file(scores) as temporary:
            temporary.write_text(json.dumps(row | {"fit seconds": metadata["fit_seconds"]}, indent=1))

    log.run("fit", (street, config.split, fit), [path], reconstruct)
    log.run("score", (config.shifts_m, config.frame_stride), [scores], score)
    return json.loads(scores.read_text())


def _score_scene(
    scene: GaussianScene, clip: DriveClip, config: SceneBenchmarkConfig, street: StreetConfig
) -> dict[str, float]:
    held_out = score_frames(scene, split_clip(clip, config.split).held_out)
    row = {"recorded lane": held_out["all"]["psnr_db"]}
    if "moving objects" in held_out:
        row["recorded lane, moving"] = held_out["moving objects"]["psnr_db"]
    beside: dict[str, list[float]] = {}
    for shift_m in config.shifts_m:
        for name, region in score_regions(scene, clip, street.truth_cameras[0], shift_m, config.frame_stride).items():
            beside.setdefault(f"beside, {name}", []).append(region.psnr_db)
    return row | {name: sum(values) / len(values) for name, values in beside.items()}


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    present = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: sum(values) / len(values) for name, values in present.items()}


def markdown_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """One line per variant, one column per score, PSNR in dB."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = ["| variant | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = [f"{row[column]:.2f}" if column in row else "" for column in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
