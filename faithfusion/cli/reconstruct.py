"""Fits a Gaussian scene to a drive: python tools/reconstruct.py --scene DIR --out RUN [--config FILE.yaml]

Writes scene.safetensors, scene.ply (the first time stamp), held_out.png and metrics.json: scores on the frames that
were kept back from the fit, of all cameras. Options of the fit can follow, e.g. --steps 1500. A killed run continues.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from faithfusion.config import parse_config
from faithfusion.data.images import load_image
from faithfusion.data.split_config import SplitConfig
from faithfusion.evaluate.metrics.recorded_frames import score_frames
from faithfusion.fit.fit_config import FitConfig
from faithfusion.pipeline.config import ReconstructConfig
from faithfusion.pipeline.reconstruct import reconstruct, write_scores
from faithfusion.render.render_view import render_view
from faithfusion.types import Frame, GaussianScene
from faithfusion.utils.media import write_image
from faithfusion.utils.progress import say


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
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is left to chance")
    parser.add_argument("--device", default="auto", help="where to fit: auto, cuda or cpu")
    options, rest = parser.parse_known_args(argv)
    fit = parse_config(FitConfig, rest, description=__doc__)
    config = ReconstructConfig(
        scene=str(options.scene),
        out=str(options.out),
        cameras=tuple(options.cameras or ()),
        split=SplitConfig(options.held_out_every, options.stretch_frames),
        posterior_stride=options.posterior_stride,
        seed=options.seed,
        device=options.device,
        fit=fit,
    )
    scene, held_out, metadata = reconstruct(config)
    scores = score_frames(scene, held_out)
    write_scores(options.out, scores, scene, metadata)
    first = [frame for frame in held_out if frame.camera_name == held_out[0].camera_name]
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
