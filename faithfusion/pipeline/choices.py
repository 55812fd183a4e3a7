"""What a run chooses by itself for a recorded drive, from what the drive has, with the reason for each choice.

The defaults of the configuration are those of the procedural streets: several cameras, sky masks, exact poses, 45 m. A
recorded drive may have one camera, no masks, poses from GPS, changing exposure, and any length and size. What the user
gives wins over what is chosen (`with_choices`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import torch

from faithfusion.config import parse_config
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.images import load_image
from faithfusion.pipeline.config import RefineConfig
from faithfusion.street.truth import true_shifts
from faithfusion.types import DriveClip
from faithfusion.utils.atomic import atomic_file

CHOICES = "choices.json"
"""The file of a run that keeps what was chosen and why."""
SAME_WAY_DEG = 15.0
"""Cameras whose axes differ by less look the same way: no other camera tells what is beside the path."""
POSE_KNOT_S = 0.2
"""Time between two knots of the correction of the poses."""
CHANGING_LIGHT = 0.03
"""Median change of the log of a picture's mean from frame to frame, above which exposure gets knots as dense as
poses."""
STEADY_KNOT = 5
"""Time stamps between two knots of exposure where the light hardly changes."""
BRIGHTNESS_FRAMES = 100
"""So many pictures of one camera tell how the light changes."""
GAUSSIANS_PER_M, FEWEST, MOST = 1_000, 60_000, 300_000
"""Gaussians of a drive at `PLAIN_PX` pixels; they grow as the root of the pixels, between these bounds."""
FIRST_SHARE = 0.6
"""Of the Gaussians that a fit may have: those that it starts from."""
PLAIN_PX, LARGE_PX = 62_000, 250_000
"""Pixels of a picture: what the step counts are made for, and above which half of the steps more see half of it."""


@dataclass(frozen=True)
class Choice:
    """An option of the run by its dotted name, the value that was chosen, and why."""

    option: str
    value: Any
    why: str

    def argument(self, prefix: str = "") -> str:
        """The choice as the command line would give it; `prefix`: of options that are part of another's, with a dot."""
        return f"--{prefix}{self.option}={json.dumps(self.value)}"


def with_choices(config: RefineConfig, argv: Sequence[str]) -> tuple[RefineConfig, tuple[Choice, ...]]:
    """Returns the configuration of a run on a recorded drive as the command line `argv` gives it, and beneath that what
    is chosen for the drive; and the choices that came to hold. `config`: what `argv` gives above the defaults.

    Nothing is chosen without a recorded drive, and where Gaussians are given, because nothing is fitted. Raises
    InputError for a drive that cannot be read.
    """
    if config.scene is None or config.gaussians is not None:
        return config, ()
    clip = read_drive(Path(config.scene), camera_names=config.cameras or None, num_frames=config.num_frames or None)
    choices = choose(clip)
    chosen = parse_config(type(config), [*(choice.argument() for choice in choices), *argv])
    return chosen, tuple(choice for choice in choices if _value(chosen, choice.option) == choice.value)


def _value(config: Any, option: str) -> Any:
    """What an option is; None if it is part of one that is null."""
    for name in option.split("."):
        config = None if config is None else getattr(config, name)
    return config


def lines_of(choices: Sequence[Choice]) -> tuple[str, ...]:
    """Says what was chosen and why, one line per reason."""
    reasons: dict[str, list[str]] = {}
    for choice in choices:
        reasons.setdefault(choice.why, []).append(f"{choice.option} = {json.dumps(choice.value)}")
    return tuple(f"Chosen for this drive: {', '.join(options)} ({why})." for why, options in reasons.items())


def choose(clip: DriveClip) -> tuple[Choice, ...]:
    """Returns what suits the fitted part of a drive; nothing for a procedural street, which the defaults are made
    for."""
    if true_shifts(clip.root):
        return ()
    return (*_rates(clip), *_resolution(clip), *_far_field(clip), *_number(clip), *_poses(clip), *_exposure(clip))


def _rates(clip: DriveClip) -> Iterator[Choice]:
    axes = [clip.frame(0, name).camera.world_from_camera[:3, 2] for name in clip.camera_names]
    apart = max((math.degrees(math.acos(min(1.0, float(a @ b)))) for a, b in combinations(axes, 2)), default=0.0)
    if apart > SAME_WAY_DEG:
        return
    many = f"{len(axes)} cameras look" if len(axes) > 1 else "one camera looks"
    why = f"{many} one way, and faster rates cost nothing beside the path"
    rates = {"means": 6e-4, "quats": 8e-3, "scales": 3e-2, "opacities": 1.5e-1, "colors": 4e-2}
    yield Choice("fit.steps", 900, why)
    yield Choice("fit.densify.stop_step", 700, why)
    for name, rate in rates.items():
        yield Choice(f"fit.optimise.{name}_lr", rate, why)


def _resolution(clip: DriveClip) -> Iterator[Choice]:
    camera = max((frame.camera for frame in clip.frames), key=lambda camera: camera.width * camera.height)
    large = camera.width * camera.height > LARGE_PX
    size = f"pictures of {camera.width}x{camera.height}"
    why = "are large, and most steps see half of it" if large else "are small, and most steps see all of it"
    yield Choice("fit.half_resolution_steps", 600 if large else 300, f"{size} {why}")


def _far_field(clip: DriveClip) -> Iterator[Choice]:
    if "sky masks" not in clip.missing:
        return
    why = "no sky masks: what LiDAR does not reach is sky or trees before it"
    yield Choice("fit.initialise.sky_height", 256, why)
    if any(path is not None for path in clip.lidar_paths):
        yield Choice("fit.initialise.far_fraction", 0.4, why)


def _number(clip: DriveClip) -> Iterator[Choice]:
    length_m = float(clip.world_from_ego[:, :3, 3].diff(dim=0).norm(dim=-1).sum())
    camera = clip.frames[0].camera
    pixels = camera.width * camera.height
    wanted = GAUSSIANS_PER_M * length_m * math.sqrt(max(1.0, pixels / PLAIN_PX))
    most = min(max(math.ceil(wanted / 1000) * 1000, FEWEST), MOST)
    why = f"{length_m:.0f} m of road in pictures of {camera.width}x{camera.height}"
    yield Choice("fit.densify.max_gaussians", most, why)
    yield Choice("fit.initialise.max_gaussians", round(FIRST_SHARE * most), why)


def _poses(clip: DriveClip) -> Iterator[Choice]:
    knot = max(1, round(POSE_KNOT_S * clip.frame_rate_hz))
    why = f"recorded poses are centimetres off, and {clip.frame_rate_hz:g} pictures a second show it"
    yield Choice("fit.recording.rig_poses.knot_frames", knot, why)


def _exposure(clip: DriveClip) -> Iterator[Choice]:
    """The mean of a picture changes with what is seen, too, but hardly from one frame to the next."""
    frames = [clip.frame(t, clip.camera_names[0]) for t in range(min(clip.num_frames, BRIGHTNESS_FRAMES))]
    logs = [math.log(max(float(load_image(frame).mean()), 1e-3)) for frame in frames]
    changes = torch.tensor([abs(after - before) for before, after in pairwise(logs)] or [0.0])
    change = float(changes.median())
    knot = max(1, round(POSE_KNOT_S * clip.frame_rate_hz)) if change > CHANGING_LIGHT else STEADY_KNOT
    why = f"the pictures' brightness changes by {100.0 * change:.0f} % from frame to frame"
    yield Choice("fit.recording.exposure.knot_frames", knot, why)


def save_choices(out: Path, choices: Sequence[Choice]) -> None:
    """Writes what was chosen into the folder of a run."""
    with atomic_file(out / CHOICES) as temporary:
        temporary.write_text(json.dumps([vars(choice) for choice in choices], indent=1))


def load_choices(out: Path) -> tuple[Choice, ...]:
    """What the run in a folder chose; nothing if it chose nothing."""
    path = out / CHOICES
    return tuple(Choice(**entry) for entry in json.loads(path.read_text())) if path.is_file() else ()
