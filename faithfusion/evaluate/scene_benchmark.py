"""Ways to reconstruct, compared on streets with truth: every variant is a file of fit options."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.evaluate.benchmark_config import SceneBenchmarkConfig
from faithfusion.evaluate.metrics.recorded_frames import score_frames
from faithfusion.evaluate.metrics.surface_scores import score_regions
from faithfusion.fit.fit_config import FitConfig
from faithfusion.pipeline.drive import Drive, open_drive
from faithfusion.pipeline.stages import fit_stage
from faithfusion.street.street_config import StreetConfig
from faithfusion.street.writer import make_street
from faithfusion.types import GaussianScene
from faithfusion.utils.atomic import atomic_file
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
    config: SceneBenchmarkConfig, street: StreetConfig, root: Path, fit: FitConfig, folder: Path
) -> dict[str, float]:
    log, scores, path = StageLog(folder), folder / "scores.json", folder / "scene.safetensors"
    drive, source = open_drive(root, config.split, fit.initialise), (street, config.split)
    scene, metadata, drive = fit_stage(log, drive, fit, path, depends_on=source, device=config.device)

    def score() -> None:
        row = _score_scene(scene, drive, config, street)
        with atomic_file(scores) as temporary:
            temporary.write_text(json.dumps(row | {"fit seconds": metadata["fit_seconds"]}, indent=1))

    log.run("score", (config.shifts_m, config.frame_stride), [scores], score)
    return json.loads(scores.read_text())


def _score_scene(
    scene: GaussianScene, drive: Drive, config: SceneBenchmarkConfig, street: StreetConfig
) -> dict[str, float]:
    held_out = score_frames(scene, drive.split.held_out)
    row = {"recorded lane": held_out["all"]["psnr_db"]}
    if "moving objects" in held_out:
        row["recorded lane, moving"] = held_out["moving objects"]["psnr_db"]
    beside: dict[str, list[float]] = {}
    for shift_m in config.shifts_m:
        regions = score_regions(scene, drive.clip, street.truth_cameras[0], shift_m, config.frame_stride)
        for name, region in regions.items():
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
