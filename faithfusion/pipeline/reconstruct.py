"""A reconstruction: Gaussians fitted to a drive, calibrated, scored on the frames that were kept back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.fingerprint import drive_fingerprint
from faithfusion.data.splits import split_clip
from faithfusion.eig.assess import assessment_facts
from faithfusion.pipeline.config import ReconstructConfig
from faithfusion.pipeline.drive import open_drive
from faithfusion.pipeline.stages import calibrate, fit_stage
from faithfusion.scene.fitted_poses import clip_as_fitted
from faithfusion.scene.graph import gaussians_at
from faithfusion.scene.ply import export_ply
from faithfusion.scene.scene_file import load_scene, save_scene
from faithfusion.types import Frame, GaussianScene
from faithfusion.utils.atomic import atomic_file, require_writable
from faithfusion.utils.device import choose_device
from faithfusion.utils.stage_log import StageLog


def reconstruct(config: ReconstructConfig) -> tuple[GaussianScene, tuple[Frame, ...], Mapping[str, Any]]:
    """Writes scene_fitted.safetensors, scene.safetensors (with its calibration) and scene.ply into `config.out`.

    Returns the scene, the held-out frames of all cameras of the drive, posed as the fit refined them, and what the
    scene's file says. Raises InputError before anything is written.
    """
    out, device = Path(config.out), choose_device(config.device)
    names, fit = config.cameras or None, config.fit
    drive = open_drive(config.scene, config.split, fit.initialise, camera_names=names, seed=config.seed)
    whole = drive.clip if names is None else read_drive(Path(config.scene))  # all cameras are scored
    require_writable(out)
    with atomic_file(out / "config.yaml") as temporary:  # where the viewer finds the drive
        temporary.write_text(yaml.safe_dump({"out": str(out), "scene": str(Path(config.scene).resolve())}))
    log, path = StageLog(out), out / "scene.safetensors"
    source = (drive_fingerprint(drive.clip, drive.clip.frames), drive.clip.camera_names, config.split)
    at = {"seed": config.seed, "device": config.device}
    scene, facts, drive = fit_stage(log, drive, fit, out / "scene_fitted.safetensors", depends_on=source, **at)

    def work() -> None:
        known = calibrate(scene, drive, config.eig, posterior_stride=config.posterior_stride)
        plan = assessment_facts(drive.clip, config.split, config.posterior_stride, known.calibration)
        save_scene(path, scene, facts | plan)

    log.run("calibrate", (config.eig, config.posterior_stride), [path], work)
    scene, metadata = load_scene(path, device)
    export_ply(out / "scene.ply", gaussians_at(scene, 0))
    return scene, split_clip(clip_as_fitted(whole, scene), config.split).held_out, metadata


def write_scores(out: Path, scores: Mapping[str, Any], scene: GaussianScene, metadata: Mapping[str, Any]) -> None:
    """Writes metrics.json: scores of the held-out frames, number of Gaussians and seconds of the fit."""
    metrics = {"held_out": scores, "gaussians": scene.gaussians.num, "fit_seconds": metadata["fit_seconds"]}
    with atomic_file(out / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=1))
