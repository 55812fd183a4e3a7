"""What a run is given: drive, editors and options, read and checked before anything is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faithfusion.data.calibration_text import invert_rigid
from faithfusion.data.new_path import clip_path, lay_out
from faithfusion.data.splits import held_out_stride
from faithfusion.data.trajectory_config import constant_shift_m
from faithfusion.pipeline.config import RefineConfig
from faithfusion.pipeline.drive import Drive, open_drive
from faithfusion.pipeline.given_scene import check_given
from faithfusion.street.rig import ego_poses
from faithfusion.street.street_config import StreetConfig, check_config
from faithfusion.street.street_plan import plan_street
from faithfusion.street.writer import make_street
from faithfusion.utils.device import choose_device
from faithfusion.utils.errors import InputError
from faithfusion.utils.stage_log import StageLog
from faithfusion.video.editing.editor import ClipFacts
from faithfusion.video.editors.registry import OpenedEditors, open_editors


@dataclass(frozen=True)
class RunInputs:
    """What `check_inputs` has opened. `drive`: None for a procedural street, which is still to be made."""

    opened: OpenedEditors
    drive: Drive | None


def check_inputs(config: RefineConfig) -> RunInputs:
    """Reads what the user gave without writing anything, and opens the editors. Raises InputError for weights, a
    drive, Gaussians, a camera, a trajectory or a number of frames that cannot work."""
    drive, facts = check_drive(config)
    opened = open_editors(config.editors, str(choose_device(config.device)))
    opened.check(facts)
    return RunInputs(opened, drive)


def check_drive(config: RefineConfig) -> tuple[Drive | None, ClipFacts]:
    """The drive of a run, None for a procedural street, and what editors must know of its clips. Raises InputError for
    a drive, Gaussians, a camera, a trajectory or a number of frames that cannot work."""
    if config.gaussians is not None:
        check_given(Path(config.gaussians))
    if config.scene is None:
        return None, ClipFacts(_check_street(config), config.warp.num_views)
    drive = read_run_drive(config)
    require_camera(config, drive.clip.camera_names)
    clip_path(drive.clip, config.trajectory_entries)
    return drive, ClipFacts(drive.clip.num_frames, config.warp.num_views)


def _check_street(config: RefineConfig) -> int:
    """The number of time stamps of the run."""
    check_config(street_config(config))
    if config.num_frames > config.street.num_frames:
        raise InputError("num_frames", config.num_frames, f"at most the street's {config.street.num_frames} frames")
    for name in config.cameras:
        if name not in config.street.camera_names:
            raise InputError("cameras", name, f"names out of {', '.join(config.street.camera_names)}")
    require_camera(config, config.cameras or config.street.camera_names)
    held_out_stride(config.split, config.num_frames or config.street.num_frames)
    lay_out(config.trajectory_entries, *street_drive(config))
    return config.num_frames or config.street.num_frames


def street_config(config: RefineConfig) -> StreetConfig:
    """The procedural street; with truth on the new path if that is a shift of the whole drive."""
    shift_m = constant_shift_m(config.trajectory_entries)
    shifts_m = set(config.street.shifts_m) | ({shift_m} if shift_m is not None else set())
    return dataclasses.replace(config.street, shifts_m=tuple(sorted(shifts_m)))


def street_drive(config: RefineConfig) -> tuple[np.ndarray, np.ndarray]:
    """What `lay_out` needs of the street before it is made: ego poses [T, 4, 4] in the clip's world, and the 4x4 that
    takes the street's own world there."""
    poses = ego_poses(config.street, plan_street(config.street))[: config.num_frames or None]
    clip_from_street = invert_rigid(poses[0])
    return clip_from_street @ poses, clip_from_street


def make_street_once(config: RefineConfig, log: StageLog) -> None:
    """Makes the procedural street of a run without a recorded drive, unless that was done before."""
    if config.scene is None:
        street, root = street_config(config), drive_folder(config)
        log.run("street", street, [root], lambda: make_street(street, root))


def drive_folder(config: RefineConfig) -> Path:
    """Where the drive of a run lies."""
    return Path(config.scene) if config.scene is not None else Path(config.out) / "drive"


def read_run_drive(config: RefineConfig) -> Drive:
    """The drive of a run. Raises InputError for one that cannot be read or split."""
    names, length = config.cameras or None, config.num_frames or None
    root, initialise = drive_folder(config), config.fit.initialise
    return open_drive(root, config.split, initialise, camera_names=names, num_frames=length, seed=config.seed)


def require_camera(config: RefineConfig, names: Sequence[str]) -> str:
    """The camera whose clip is refined, one of `names`."""
    name = config.camera or names[0]
    if name not in names:
        raise InputError("camera", name, f"one of {', '.join(names)}")
    return name
