"""Measures whether the seams of chained windows can be seen on a long street."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.cli.speed.speed_config import ChainConfig
from faithfusion.clips.windows import plan_windows
from faithfusion.data.new_path import path_cameras
from faithfusion.eig.calibrate import calibration_from_plain
from faithfusion.evaluate.metrics.seams import SeamScores, score_seams, seam_steps
from faithfusion.evaluate.report.panels import side_by_side
from faithfusion.pipeline.refine import read_finished_run
from faithfusion.pipeline.stage_files import as_stored
from faithfusion.pipeline.stages import recalibrate, render
from faithfusion.street.truth import load_truth
from faithfusion.types import Window
from faithfusion.utils.device import choose_device
from faithfusion.utils.errors import InputError
from faithfusion.utils.media import write_image, write_video
from faithfusion.video.editing.editor_config import DEFAULT_COMPOSITE
from faithfusion.video.editors.wan import WanOptions

FRAME_RATE_HZ = 10.0


def bench_chain(config: ChainConfig) -> None:
    """Prints the errors of the change from frame to frame, at the seams and elsewhere, of render and edit; writes the
    frames around every seam as a picture, and the clip."""
    run, out = Path(config.run), Path(config.out)
    window = _window_of(run)
    frames = window.render.shape[0]
    spans = plan_windows(frames, config.editor.window_frames, config.editor.overlap_frames)
    if len(spans) < 2:
        raise InputError(run, f"a clip of {frames} frames", f"more than a window's {config.editor.window_frames}")
    drive = run / "drive"
    truth = torch.stack([load_truth(drive, config.shift_m, config.camera, t).color for t in range(frames)])
    options = WanOptions(weights=config.weights, **vars(config.editor))
    edited = options.open(str(choose_device("auto"))).editor(DEFAULT_COMPOSITE).edit(window)
    print(f"{frames} frames, windows {', '.join(f'{span.start}-{span.stop - 1}' for span in spans)}\n")
    print("| clip | error at the seams | median elsewhere | worst / median |\n" + "|---" * 4 + "|")
    for name, clip in (("render", window.render), ("edit", edited.edit), ("finished", edited.frames)):
        print(_row(name, score_seams(clip, truth, spans)))
    out.mkdir(parents=True, exist_ok=True)
    for step in seam_steps(spans):
        write_image(out / f"seam_{step:03d}.png", _around(step, edited.frames, truth))
    write_video(out / "finished.mp4", edited.frames, FRAME_RATE_HZ)


def _window_of(folder: Path) -> Window:
    """What the run's scene shows on its new path before anything is refined, as its editor got it."""
    run, config = read_finished_run(folder)
    calibration, stride = calibration_from_plain(run.metadata["calibration"]), config.posterior_stride
    known = recalibrate(run.before, run.drive, calibration, config.eig, posterior_stride=stride)
    cameras = path_cameras(run.clip, run.camera_name, run.path)
    return as_stored(render(known, run.drive, cameras, config.warp))


def _row(name: str, scores: SeamScores) -> str:
    seams = ", ".join(f"{error:.5f}" for error in scores.at_seams)
    return f"| {name} | {seams} | {scores.median_elsewhere:.5f} | {scores.worst_ratio:.3f} |"


def _around(step: int, frames: Float[Tensor, "t h w 3"], truth: Float[Tensor, "t h w 3"]) -> Float[Tensor, "h2 w2 3"]:
    """Two frames before and two after the seam, regenerated and true."""
    shown = range(step - 1, step + 3)
    panels = {f"frame {t}": frames[t : t + 1] for t in shown} | {f"truth {t}": truth[t : t + 1] for t in shown}
    return side_by_side(panels, columns=len(shown))[0]
