"""From a fitted scene to the clips of a shard: render, EIG, truth and references at new views."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from faithfusion.clips.store import Cut, CutSequence
from faithfusion.clips.windows import Span
from faithfusion.data.splits import Split
from faithfusion.eig.assess import training_view
from faithfusion.eig.field import EigField
from faithfusion.fit.fit import fit_scene
from faithfusion.pairs.config import PairsConfig
from faithfusion.pipeline.drive import drive_of
from faithfusion.pipeline.stages import calibrate
from faithfusion.render.render_view import render_view
from faithfusion.scene.scene_file import scene_to
from faithfusion.types import Camera, DriveClip, Frame, GaussianScene, Window
from faithfusion.utils.device import choose_device
from faithfusion.window.framing import COVERED_ALPHA, Framing, TrueFrame, brightness_gain, with_truth
from faithfusion.window.references import choose_references, load_references
from faithfusion.window.warp import WarpSource, warp_source, warped_views
from faithfusion.window.window import rendered_window

COVERAGE_FRAMES = 6  # looked at to judge what share of a camera's view the fit saw


@dataclass(frozen=True)
class FittedDrive:
    """What is known about a scene, and the fitted part of its drive, with the poses of the fit."""

    known: EigField
    clip: DriveClip
    recorded: WarpSource

    @property
    def fitted_frames(self) -> Sequence[Frame]:
        """The frames that the scene was fitted to."""
        return self.recorded.frames


@dataclass(frozen=True)
class Target:
    """What is rendered: cameras at time stamps, how they are framed and what is true there (by position). The truth
    gets the render's brightness if `match_brightness`. `facts`: for the shard's provenance. `recorded_camera`: whose
    recorded frames are the truth, if they are."""

    cameras: Sequence[Camera]
    times: Sequence[int]
    framing: Framing
    truth: Callable[[int], TrueFrame]
    facts: dict[str, Any]
    match_brightness: bool = False
    recorded_camera: str = ""


def fit_drive(
    clip: DriveClip,
    train: Sequence[Frame],
    calibration: Sequence[Frame],
    steps: int,
    config: PairsConfig,
    state_path: Path,
) -> FittedDrive:
    """Fits a scene to `train` in `steps` steps and calibrates its EIG on `calibration`. A killed fit continues from
    `state_path`."""
    fit = dataclasses.replace(config.fit, steps=steps, half_resolution_steps=steps // 2)
    at = {"seed": config.seed, "device": config.device}
    drive = drive_of(clip, Split(tuple(train), tuple(calibration), ()), fit.initialise, config.seed)
    scene, _ = fit_scene(clip, train, fit, lidar=drive.lidar, state_path=state_path, **at)
    scene = scene_to(scene, choose_device(config.device))
    drive = drive.as_fitted(scene)
    known = calibrate(scene, drive, config.eig, posterior_stride=config.posterior_stride)
    downscale = config.framing.downscale
    recorded = warp_source(scene, drive.clip, drive.split.train, drive.lidar, config.warp, downscale)
    return FittedDrive(known, drive.clip, recorded)


def cut_sequences(
    fitted: FittedDrive, target: Target, spans: Sequence[Span], config: PairsConfig, facts: list[dict[str, Any]]
) -> Iterator[CutSequence]:
    """The windows `spans` of a target, in sequences of at most `sequence_frames`. What they are goes to `facts`."""
    for group in grouped_spans(spans, config.sequence_frames):
        start, stop = group[0].start, max(span.stop for span in group)
        cameras = [target.framing.camera(camera) for camera in target.cameras[start:stop]]
        times = target.times[start:stop]
        window = rendered_window(fitted.known, fitted.clip, cameras, times)
        window = dataclasses.replace(window, warped=warped_views(fitted.recorded, window, target.recorded_camera))
        truth = [target.truth(number) for number in range(start, stop)]
        gain = brightness_gain(window, truth) if target.match_brightness else None
        facts.append(target.facts | {"first_time": times[0], "gain": None if gain is None else gain.tolist()})
        inside = [Span(span.start - start, span.stop - start) for span in group]
        yield with_references(with_truth(window, truth, gain), fitted, inside, config, target.recorded_camera)


def with_references(
    window: Window, fitted: FittedDrive, spans: Sequence[Span], config: PairsConfig, own_camera: str = ""
) -> CutSequence:
    """The sequence with the true views that its windows need, each stored once. A window that repeats the recorded
    camera `own_camera` gets none of that camera from its own time stamps, as those would be the answer."""
    chosen = []
    for span in spans:
        own_times = window.time_indices[span.start : span.stop] if own_camera else ()
        others = [
            index
            for index, frame in enumerate(fitted.fitted_frames)
            if frame.camera_name != own_camera or frame.time_index not in own_times
        ]
        others = others or list(range(len(fitted.fitted_frames)))  # a drive of one camera and one window has no other
        best = choose_references(window, span, [fitted.fitted_frames[i] for i in others], config.num_references)
        chosen.append([others[index] for index in best])
    pool = sorted({index for indices in chosen for index in indices})
    frames = [fitted.fitted_frames[index] for index in pool]
    images, cameras = load_references(frames, config.framing.downscale, tuple(window.render.shape[1:3]))
    cuts = tuple(
        Cut(span, tuple(pool.index(index) for index in indices)) for span, indices in zip(spans, chosen, strict=True)
    )
    return CutSequence(dataclasses.replace(window, references=images, reference_cameras=cameras), cuts)


def grouped_spans(spans: Sequence[Span], most_frames: int) -> list[list[Span]]:
    """Windows in order, as many together as fit into `most_frames`; a gap between two windows starts a new group."""
    groups: list[list[Span]] = []
    for span in spans:
        if groups and span.stop - groups[-1][0].start <= most_frames and span.start <= groups[-1][-1].stop:
            groups[-1].append(span)
        else:
            groups.append([span])
    return groups


def coverage(scene: GaussianScene, clip: DriveClip, camera_name: str) -> float:
    """Share of a camera's pixels that Gaussians cover, but for sky (where there are sky masks) and what shows nothing
    of the world; over a few time stamps."""
    stride = max(1, clip.num_frames // COVERAGE_FRAMES)
    counts = torch.zeros(2)
    for time in range(stride // 2, clip.num_frames, stride):
        view = training_view(clip, clip.frame(time, camera_name))
        counted = view.mask if view.sky_mask is None else view.mask & ~view.sky_mask
        with torch.no_grad():
            alpha = render_view(scene, view.camera.to(scene.gaussians.means.device), time).alpha.cpu()
        counts += torch.tensor([float((alpha[counted] > COVERED_ALPHA).sum()), float(counted.sum())])
    return float(counts[0] / counts[1].clamp_min(1.0))
