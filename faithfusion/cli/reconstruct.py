"""Fits a Gaussian scene to a drive: python tools/reconstruct.py --scene DIR --out RUN [--config FILE.yaml]

The command writes scene.safetensors, scene.ply (the first time stamp), held_out.png and metrics.json, which scores the
frames of all cameras that were kept back from the fit. A killed run continues with the same command.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faithfusion.config import parse_config, part_of
from faithfusion.data.split_config import SplitConfig
from faithfusion.fit.fit_config import FitConfig
from faithfusion.pipeline.config import ReconstructConfig

SHEET_ROWS = 3


@dataclass(frozen=True, kw_only=True)
class ReconstructOptions(FitConfig):
    """Which drive is fitted, and how.

    Attributes:
        scene: The folder of the drive.
        out: The folder of the run; the same command continues there.
        cameras: The cameras that are fitted. Without them all are.
        held_out_every: One of so many time stamps is kept back of all cameras; 0 keeps none back.
        stretch_frames: So many consecutive time stamps are withheld from each camera in turn, to calibrate EIG.
        posterior_stride: One of so many frames of a camera informs EIG.
        seed: The seed of everything that is left to chance.
        device: Where the scene is fitted: auto, cuda or cpu.
    """

    scene: str
    out: str
    cameras: tuple[str, ...] = ()
    held_out_every: int = SplitConfig.held_out_every
    stretch_frames: int = SplitConfig.stretch_frames
    posterior_stride: int = 2
    seed: int = 0
    device: str = "auto"


def main(argv: list[str]) -> None:
    """Runs the stages that are not done yet."""
    options = parse_config(ReconstructOptions, argv, description=__doc__)

    from faithfusion.evaluate.metrics.recorded_frames import score_frames
    from faithfusion.evaluate.report.contact_sheet import contact_sheet
    from faithfusion.pipeline.reconstruct import reconstruct, write_scores
    from faithfusion.utils.media import write_image
    from faithfusion.utils.progress import say

    config = ReconstructConfig(
        scene=options.scene,
        out=options.out,
        cameras=options.cameras,
        split=SplitConfig(options.held_out_every, options.stretch_frames),
        posterior_stride=options.posterior_stride,
        seed=options.seed,
        device=options.device,
        fit=part_of(options, FitConfig),
    )
    scene, held_out, metadata = reconstruct(config)
    scores = score_frames(scene, held_out)
    write_scores(Path(options.out), scores, scene, metadata)
    first = [frame for frame in held_out if frame.camera_name == held_out[0].camera_name]
    if first:
        shown = first[:: max(len(first) // SHEET_ROWS, 1)][:SHEET_ROWS]
        write_image(Path(options.out) / "held_out.png", contact_sheet(scene, shown))
    for name, row in scores.items():
        say(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in row.items()))
