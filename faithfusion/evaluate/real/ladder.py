"""Runs and scores every recorded drive in both directions of its first two cameras."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from faithfusion.config import parse_config
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.images import load_image
from faithfusion.data.trajectories import distance_from_path_m
from faithfusion.eig.calibrate import calibration_from_plain
from faithfusion.eig.field import EigField
from faithfusion.evaluate.benchmark_config import RealBenchmarkConfig, RealDrive
from faithfusion.evaluate.eig.scores import OURS, ShiftScores, ViewMaps, score_shift, worst_decile_deviation
from faithfusion.evaluate.metrics.uncertainty import SKY_ALPHA
from faithfusion.evaluate.real.views import Scores, score_pictures, score_scene
from faithfusion.pipeline.choices import choose, lines_of
from faithfusion.pipeline.config import RefineConfig
from faithfusion.pipeline.inputs import check_inputs
from faithfusion.pipeline.refine import FITTED, RefineRun, run_refinement
from faithfusion.pipeline.stages import recalibrate
from faithfusion.scene.fitted_poses import clip_as_fitted
from faithfusion.scene.scene_file import load_scene
from faithfusion.types import DriveClip, Frame, GaussianScene
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.device import choose_device
from faithfusion.utils.errors import InputError
from faithfusion.utils.mobilenet import mobilenet_or_none
from faithfusion.utils.progress import say
from faithfusion.utils.stage_log import StageLog
from faithfusion.video.editing.editor import Editor
from faithfusion.window.warp import warp_source
from faithfusion.window.window import window_of

Rung = dict[str, Scores]


@dataclass(frozen=True)
class Direction:
    """One camera of a drive that is fitted, another that is the truth, and what was found."""

    drive: str
    fitted: str
    truth: str
    gaussians: int
    rungs: dict[str, Any]

    @property
    def name(self) -> str:
        """How tables call it."""
        return f"{self.drive}, {self.fitted} to {self.truth}"


def run_ladder(config: RealBenchmarkConfig, argv: Sequence[str]) -> list[Direction]:
    """Refines and scores every drive in both directions, in stages that are skipped when they are done. `argv`: the
    command line that gave `config`; what it leaves open of the runs is chosen for each drive.

    Raises InputError before any work for a drive that cannot be read or has one camera only.
    """
    clips = [read_drive(Path(drive.scene), num_frames=drive.num_frames or None) for drive in config.drives]
    for drive, clip in zip(config.drives, clips, strict=True):
        if len(clip.camera_names) < 2:
            raise InputError(drive.scene, f"cameras {clip.camera_names}", "a second camera, whose pictures are true")
    network = mobilenet_or_none()
    found = []
    for drive, clip in zip(config.drives, clips, strict=True):
        first, second = clip.camera_names[:2]
        for fitted, truth in ((first, second), (second, first)):
            found.append(_score_direction(config, argv, drive, clip, (fitted, truth), network))
    return found


def _score_direction(
    config: RealBenchmarkConfig,
    argv: Sequence[str],
    drive: RealDrive,
    clip: DriveClip,
    cameras: tuple[str, str],
    network: nn.Module | None,
) -> Direction:
    """`clip`: the drive with all its cameras; `cameras`: the fitted one and the true one."""
    fitted, truth = cameras
    folder = Path(config.out) / clip.name / f"fitted_{fitted}"
    folder.mkdir(parents=True, exist_ok=True)
    refine = _run_config(argv, drive, fitted, folder)
    inputs = check_inputs(refine)
    log, path = StageLog(folder), folder / "ladder.json"
    run = run_refinement(refine, log, inputs)
    editor = inputs.opened.editor(refine.editor.composite, refine.seed)

    def score() -> None:
        rungs = _score_run(run, config, refine, clip, truth, editor, network)
        found = Direction(clip.name, fitted, truth, run.before.gaussians.num, rungs)
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(found), indent=1))

    log.run("ladder", (config.frame_stride, config.editor_frames, truth), [path], score)
    return Direction(**json.loads(path.read_text()))


def _run_config(argv: Sequence[str], drive: RealDrive, fitted: str, folder: Path) -> RefineConfig:
    """The run of one direction: what was chosen for the drive, above it what the user gave, above that its place."""
    chosen = choose(read_drive(Path(drive.scene), camera_names=(fitted,), num_frames=drive.num_frames or None))
    for line in lines_of(chosen):
        say(line)
    given = parse_config(RealBenchmarkConfig, [*(choice.argument("refine.") for choice in chosen), *argv]).refine
    place = {"scene": drive.scene, "num_frames": drive.num_frames, "out": str(folder)}
    return dataclasses.replace(given, cameras=(fitted,), camera=fitted, **place)


def _score_run(
    run: RefineRun,
    config: RealBenchmarkConfig,
    refine: RefineConfig,
    clip: DriveClip,
    truth: str,
    editor: Editor,
    network: nn.Module | None,
) -> dict[str, Any]:
    fitted, _ = load_scene(Path(refine.out) / FITTED, choose_device(refine.device))
    posed = clip_as_fitted(clip, fitted)
    times = range(config.frame_stride // 2, clip.num_frames, config.frame_stride)
    sets = {
        "training": run.drive.split.train[config.frame_stride // 2 :: config.frame_stride],
        "held-out": run.drive.split.held_out,
        "true camera": [posed.frame(t, truth) for t in times],
    }
    sets = {name: frames for name, frames in sets.items() if frames}

    def rung(scene: GaussianScene, *, residuals: bool = False) -> Rung:
        return {
            name: score_scene(scene, run.drive, frames, network, residuals=residuals) for name, frames in sets.items()
        }

    calibration = calibration_from_plain(run.metadata["calibration"])
    known = recalibrate(run.before, run.drive, calibration, refine.eig, posterior_stride=refine.posterior_stride)
    say(f"{clip.name}: scoring the fit on {', '.join(sets)}")
    return {
        "fit": rung(fitted, residuals=True),
        "settled": rung(run.before),
        "eig": dataclasses.asdict(_score_eig(known, run, sets["true camera"], refine.editor.regenerate_rms)),
        "editor": _score_editor(known, run, config, refine, posed, truth, editor, network),
        "refined": rung(run.after),
    }


def _score_eig(known: EigField, run: RefineRun, frames: Sequence[Frame], regenerate_rms: float) -> ShiftScores:
    """EIG and calibrated error of the scene that is to be edited against its true error in another camera."""
    views = []
    distances_m = [distance_from_path_m(run.clip, frame.camera) for frame in frames]
    for frame, distance_m in zip(frames, distances_m, strict=True):
        gain, rendering = known.map(frame.camera, frame.time_index)
        render, image = rendering.color.clamp(0.0, 1.0).cpu(), load_image(frame)
        difference, eig_nats = render - image, gain.eig_nats.cpu()
        expected = known.calibration.expected_sq_error(eig_nats, distance_m)
        sky = gain.alpha.cpu() < SKY_ALPHA
        errors = difference.abs().mean(-1), difference.square().mean(-1)
        views.append(ViewMaps(render, image, {OURS: eig_nats}, expected, *errors, sky))
    return score_shift(run.clip.name, sum(distances_m) / len(distances_m), views, regenerate_rms)


def _score_editor(
    known: EigField,
    run: RefineRun,
    config: RealBenchmarkConfig,
    refine: RefineConfig,
    posed: DriveClip,
    truth: str,
    editor: Editor,
    network: nn.Module | None,
) -> dict[str, Any]:
    """The true camera's frames from the middle of the drive, rendered from the other camera's scene and repaired."""
    count = min(config.editor_frames, posed.num_frames)
    start = (posed.num_frames - count) // 2
    frames = [posed.frame(t, truth) for t in range(start, start + count)]
    recorded = warp_source(known.scene, run.clip, run.drive.split.recorded, run.drive.lidar, refine.warp)
    cameras, times = [frame.camera for frame in frames], [frame.time_index for frame in frames]
    window = window_of(known, run.clip, cameras, recorded, times)
    edited = editor.edit(window)
    kept = edited.gain == 0.0
    return {
        "render": score_pictures(window.render, run.drive, frames, network),
        "edited": score_pictures(edited.frames, run.drive, frames, network),
        "kept_share": float(kept.float().mean()),
        "kept_is_render": bool(torch.equal(edited.frames[kept], window.render[kept])),
        "frames": count,
    }


def eig_summary(eig: dict[str, Any]) -> Scores:
    """The figures of EIG that tables show."""
    scores = ShiftScores(**eig)
    return scores.methods[OURS] | {
        "worst of five deciles": worst_decile_deviation(scores),
        "marked_share": scores.marked_share,
    }
