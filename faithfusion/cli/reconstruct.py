"""Fits a Gaussian scene to a drive: python tools/reconstruct.py --scene DIR --out RUN [--config FILE.yaml]

Writes scene.safetensors, scene.ply (the first time stamp), held_out.png and metrics.json: scores on the frames that
were kept back from the fit, of all cameras. Options of the fit can follow, e.g. --steps 1500. A killed run continues.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
import yaml

from faithfusion.config import parse_config, to_plain
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.fingerprint import drive_fingerprint
from faithfusion.data.images import load_image
from faithfusion.data.split_config import SplitConfig
from faithfusion.data.splits import every_nth_of_each_camera, split_clip
from faithfusion.eig.assess import assess_scene, assessment_facts
from faithfusion.eig.config import EigConfig
from faithfusion.evaluate.metrics.recorded_frames import score_frames
from faithfusion.fit.fit import fit_scene
from faithfusion.fit.fit_config import FitConfig
from faithfusion.render.render_view import render_view
from faithfusion.scene.fitted_poses import clip_as_fitted
from faithfusion.scene.graph import gaussians_at
from faithfusion.scene.ply import export_ply
from faithfusion.scene.scene_file import load_scene, save_scene
from faithfusion.types import Frame, GaussianScene
from faithfusion.utils.atomic import atomic_file, require_writable
from faithfusion.utils.device import choose_device
from faithfusion.utils.errors import InputError
from faithfusion.utils.media import write_image
from faithfusion.utils.progress import say
from faithfusion.utils.stage_log import StageLog


def main(argv: list[str]) -> None:
    """Parses the options and runs the stages that are not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--scene", type=Path, required=True, help="drive in DriveStudio's layout")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--cameras", nargs="+", help="cameras to fit (default: all)")
    defaults = SplitConfig()
    parser.add_argument(
        "--held_out_every", type=int, default=defaults.held_out_every, help="keep one of so many time stamps back"
    )
    parser.add_argument(
        "--stretch_frames", type=int, default=defaults.stretch_frames, help="withheld of each camera, to calibrate EIG"
    )
    parser.add_argument("--posterior_stride", type=int, default=2, help="of so many frames of a camera one informs EIG")
    options, rest = parser.parse_known_args(argv)
    config = parse_config(FitConfig, rest, description=__doc__)
    if options.posterior_stride < 1:
        raise InputError("--posterior_stride", options.posterior_stride, "at least 1")
    split_config = SplitConfig(options.held_out_every, options.stretch_frames)
    clip = read_drive(options.scene, camera_names=options.cameras)
    split = split_clip(clip, split_config)
    read_drive(options.scene)  # all cameras are scored
    require_writable(options.out)
    with atomic_file(options.out / "config.yaml") as temporary:  # where the viewer finds the drive
        temporary.write_text(yaml.safe_dump({"out": str(options.out), "scene": str(options.scene.resolve())}))
    log, eig, device = StageLog(options.out), EigConfig(), choose_device(config.device)
    fitted, state = options.out / "scene_fitted.safetensors", options.out / "fit_state.safetensors"
    path = options.out / "scene.safetensors"

    def fit() -> None:
        scene, fit_log = fit_scene(clip, split.train, config, state_path=state)
        save_scene(fitted, scene, {"clip": clip.name, "fit": to_plain(config), "fit_seconds": fit_log.seconds})
        state.unlink(missing_ok=True)

    def calibrate() -> None:
        scene, metadata = load_scene(fitted, device)
        refined = clip_as_fitted(clip, scene)
        seen = split_clip(refined, split_config)
        frames = every_nth_of_each_camera(seen.train, options.posterior_stride)
        calibration = assess_scene(scene, refined, frames, seen.calibration, eig).calibration
        facts = assessment_facts(clip, split_config, options.posterior_stride, calibration)
        save_scene(path, scene, metadata | facts)

    log.run("fit", (drive_fingerprint(clip, clip.frames), clip.camera_names, split_config, config), [fitted], fit)
    log.run("calibrate", (eig, options.posterior_stride), [path], calibrate)
    scene, metadata = load_scene(path, device)
    export_ply(options.out / "scene.ply", gaussians_at(scene, 0))
    held_out = split_clip(clip_as_fitted(read_drive(options.scene), scene), split_config).held_out
    scores = score_frames(scene, held_out)
    metrics = {"held_out": scores, "gaussians": scene.gaussians.num, "fit_seconds": metadata["fit_seconds"]}
    with atomic_file(options.out / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=1))
    first = [frame for frame in held_out if frame.camera_name == clip.camera_names[0]]
    if first:
        write_image(options.out / "held_out.png", contact_sheet(scene, first[:: max(len(first) // 3, 1)][:3]))
    for name, row in scores.items():
        say(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in row.items()))


def contact_sheet(scene: GaussianScene, frames: list[Frame]) -> torch.Tensor:
    """Rows of truth, render and four times the absolute error."""
    rows = []
    for frame in frames:
        image = load_image(frame)
        with torch.no_grad():
            color = render_view(scene, frame.camera, frame.time_index).color.clamp(0, 1).cpu()
        rows.append(torch.cat([image, color, (4.0 * (color - image).abs()).clamp(0, 1)], dim=1))
    return torch.cat(rows)
