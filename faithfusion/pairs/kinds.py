"""The three kinds of pairs: streets beside the path, cameras of a rig from others, frames from sparse fits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from faithfusion.clips.store import CutSequence
from faithfusion.clips.windows import Span, training_spans
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.split_config import SplitConfig
from faithfusion.data.splits import split_clip
from faithfusion.data.trajectories import shifted_cameras
from faithfusion.pairs.config import PairsConfig, WithheldConfig
from faithfusion.pairs.scene import FittedDrive, Target, coverage, cut_sequences, fit_drive
from faithfusion.scene.fitted_poses import clip_as_fitted
from faithfusion.street.street_config import camera_shifts_m
from faithfusion.street.truth import load_truth
from faithfusion.street.writer import make_street
from faithfusion.types import DriveClip, Frame
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say
from faithfusion.utils.seed import make_generator
from faithfusion.window.framing import TrueFrame, framing_of, recorded_truth

GAP_PERIOD = 50
"""Time stamps from one gap of a `withheld` fit to the next, about."""
MIN_WITHHELD_SHARE = 0.4
"""Of a window's frames; one that the fit has mostly seen teaches nothing."""
MIN_FITTED, MIN_TIMES = 3, 6
"""Frames, and time stamps, that a `withheld` fit sees at least."""


def street_sequences(seed: int, config: PairsConfig, workspace: Path, facts: dict[str, Any]) -> Iterator[CutSequence]:
    """A street driven at random shifts to both sides; its drive and the state of the fit lie in `workspace`."""
    random = make_generator(seed, "pairs")
    magnitudes = config.max_shift_m * (0.25 + 0.75 * torch.rand(config.num_shifts, generator=random))
    sides = torch.tensor([1.0, -1.0]).repeat(config.num_shifts)[: config.num_shifts]
    shifts_m = tuple(round(float(shift), 2) for shift in magnitudes * sides)
    steps = _draw(config.fit_steps, random)
    drive = workspace / f"street_{seed:04d}"
    street = dataclasses.replace(config.street, seed=seed, shifts_m=shifts_m)
    make_street(street, drive)
    clip = read_drive(drive)
    split = split_clip(clip, config.split)
    fitted = fit_drive(clip, split.train, split.calibration, steps, config, workspace / "fit.safetensors")
    facts |= {"seed": seed, "shifts_m": shifts_m, "fit_steps": steps, "sequences": []}
    spans = training_spans(clip.num_frames, config.window_frames, config.overlap_frames)
    for camera_name in config.street.truth_cameras:
        for shift_m in camera_shifts_m(street, camera_name):
            target = _true_target(fitted, drive, camera_name, shift_m, config)
            yield from cut_sequences(fitted, target, spans, config, facts["sequences"])


def _true_target(fitted: FittedDrive, drive: Path, camera_name: str, shift_m: float, config: PairsConfig) -> Target:
    cameras = shifted_cameras(fitted.clip, camera_name, shift_m)
    framing = framing_of(cameras[0], config.framing)

    def truth(t: int) -> TrueFrame:
        color = load_truth(drive, shift_m, camera_name, t).color
        return TrueFrame(framing.image(color), framing.mask(torch.ones(color.shape[:2], dtype=torch.bool)))

    facts = {"camera": camera_name, "shift_m": shift_m}
    return Target(cameras, range(fitted.clip.num_frames), framing, truth, facts)


def cross_camera_sequences(
    root: Path, config: PairsConfig, workspace: Path, facts: dict[str, Any]
) -> Iterator[CutSequence]:
    """A drive fitted on some of its cameras and rendered at others, whose recorded frames are the truth. Targets of
    which the fit saw too little are named in `facts` and left out."""
    facts |= {"drive": root.name, "fits": [], "sequences": [], "skipped": []}
    for number, (fit_cameras, targets) in enumerate(camera_pairs(read_drive(root), config)):
        clip = read_drive(root, camera_names=fit_cameras, num_frames=config.num_frames or None)
        split = split_clip(clip, config.split)
        steps = _draw(config.fit_steps, make_generator(config.seed, "pairs", root.name, number))
        state = workspace / f"fit_{number}.safetensors"
        fitted = fit_drive(clip, split.train, split.calibration, steps, config, state)
        facts["fits"].append({"cameras": fit_cameras, "steps": steps})
        own = sum(coverage(fitted.known.scene, fitted.clip, name) for name in fit_cameras) / len(fit_cameras)
        for name in targets:
            other = read_drive(root, camera_names=[name], num_frames=clip.num_frames)
            other = clip_as_fitted(other, fitted.known.scene)
            seen = coverage(fitted.known.scene, other, name) / max(own, 1e-6)
            what = {"fit": number, "camera": name, "coverage": round(seen, 3)}
            if seen < config.cross_camera.min_coverage:
                found = f"the fit covers {seen:.0%} as much of its view as of the fitted cameras'"
                say(f"{root.name}: camera {name} left out: {found}, less than {config.cross_camera.min_coverage:.0%}")
                facts["skipped"].append(what)
                continue
            target = _recorded_target(other, name, config, what, match=config.cross_camera.match_brightness)
            spans = training_spans(clip.num_frames, config.window_frames, config.overlap_frames)
            yield from cut_sequences(fitted, target, spans, config, facts["sequences"])


def camera_pairs(clip: DriveClip, config: PairsConfig) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Sets of cameras to fit, each with those to render at.  Raises InputError for a camera that the drive lacks, and
    if no camera would be left to render at."""
    names, wanted = clip.camera_names, config.cross_camera
    pairs = []
    for fit_cameras in wanted.fit_cameras or (names[:1],):
        targets = tuple(name for name in wanted.target_cameras or names if name not in fit_cameras)
        for name in (*fit_cameras, *targets):
            if name not in names:
                raise InputError(clip.root, f"no camera {name!r}", f"one of {', '.join(names)}")
        if not targets or not fit_cameras:
            found = f"fitted cameras {', '.join(fit_cameras)} of {', '.join(names)}"
            raise InputError(clip.root, found, "at least one to fit and another to render at")
        pairs.append((tuple(fit_cameras), targets))
    return pairs


def withheld_sequences(
    root: Path, config: PairsConfig, workspace: Path, facts: dict[str, Any]
) -> Iterator[CutSequence]:
    """A drive fitted at some of its time stamps; the recorded frames of the others are the truth."""
    facts |= {"drive": root.name, "fits": [], "sequences": []}
    clip = read_drive(root, camera_names=config.withheld.cameras or None, num_frames=config.num_frames or None)
    for number, plan in enumerate(sparse_fits(clip, config)):
        state = workspace / f"fit_{number}.safetensors"
        fitted = fit_drive(clip, plan.train, plan.calibration, plan.steps, config, state)
        facts["fits"].append({"cameras": clip.camera_names, "steps": plan.steps, "times": plan.times})
        for name in clip.camera_names:
            target = _recorded_target(fitted.clip, name, config, {"fit": number, "camera": name})
            yield from cut_sequences(fitted, target, _withheld_spans(fitted, name, config), config, facts["sequences"])


@dataclass(frozen=True)
class SparseFit:
    """What one fit of kind `withheld` sees; `times` before the stretches are taken out that calibrate."""

    steps: int
    times: tuple[int, ...]
    train: tuple[Frame, ...]
    calibration: tuple[Frame, ...]


def sparse_fits(clip: DriveClip, config: PairsConfig) -> list[SparseFit]:
    """The fits of a drive, drawn by its name.  Raises InputError if a fit would see too few frames."""
    split = split_clip(clip, SplitConfig(held_out_every=0, stretch_frames=config.split.stretch_frames))
    fits = []
    for number in range(config.withheld.num_fits):
        random = make_generator(config.seed, "pairs", clip.name, "withheld", number)
        steps = _draw(config.fit_steps, random)
        times = fitted_times(clip.num_frames, config.withheld, random)
        train = tuple(frame for frame in split.train if frame.time_index in times)
        if len(train) < MIN_FITTED:
            found = f"{len(train)} of {len(clip.frames)} frames would be fitted"
            raise InputError(clip.root, found, f"at least {MIN_FITTED}: a longer drive or smaller `withheld.every`")
        fits.append(SparseFit(steps, tuple(sorted(times)), train, split.calibration))
    return fits


def fitted_times(num_frames: int, config: WithheldConfig, random: torch.Generator) -> set[int]:
    """Time stamps that a `withheld` fit sees: every n-th from a random one on, without a gap in each 50.

    Gaps leave the ends alone: poses that the fit refines are interpolated, not extrapolated. Of the ranges of a short
    clip only that part is drawn from which leaves 6 time stamps, and gaps of a quarter of it.
    """
    most_every = max(config.every[0], min(config.every[1], num_frames // MIN_TIMES))
    most_gap = max(config.gap_frames[0], min(config.gap_frames[1], num_frames // 4))
    every, gap = _draw((config.every[0], most_every), random), _draw((config.gap_frames[0], most_gap), random)
    times = set(range(_draw((0, every - 1), random), num_frames, every))
    count = max(1, round(num_frames / GAP_PERIOD))
    for number in range(count):
        first = max(every, number * num_frames // count)
        last = min(num_frames - every, (number + 1) * num_frames // count) - gap
        start = _draw((first, max(first, last)), random)
        times -= set(range(start, start + gap))
    return times


def _withheld_spans(fitted: FittedDrive, camera_name: str, config: PairsConfig) -> list[Span]:
    """Windows of a camera with enough frames that the fit has not seen."""
    seen = {frame.time_index for frame in fitted.fitted_frames if frame.camera_name == camera_name}
    spans = training_spans(fitted.clip.num_frames, config.window_frames, config.overlap_frames)
    least = MIN_WITHHELD_SHARE * config.window_frames
    return [span for span in spans if sum(t not in seen for t in range(span.start, span.stop)) >= least]


def _recorded_target(
    clip: DriveClip, camera_name: str, config: PairsConfig, facts: dict[str, Any], *, match: bool = False
) -> Target:
    frames = [clip.frame(t, camera_name) for t in range(clip.num_frames)]
    framing = framing_of(frames[0].camera, config.framing)
    cameras = [frame.camera for frame in frames]

    def truth(t: int) -> TrueFrame:
        return recorded_truth(clip, frames[t], framing)

    return Target(cameras, range(len(frames)), framing, truth, facts, match, camera_name)


def _draw(ends: tuple[int, int], random: torch.Generator) -> int:
    """A whole number of a range, both ends included."""
    return int(torch.randint(ends[0], ends[1] + 1, (), generator=random))
