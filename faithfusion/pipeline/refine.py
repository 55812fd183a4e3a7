"""A refinement run from drive to distilled scene, in stages that are skipped when they are done."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faithfusion.data.calibration_text import invert_rigid
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.fingerprint import drive_fingerprint
from faithfusion.data.new_path import NewPath, clip_path, lay_out, path_cameras
from faithfusion.data.path_hits import PathHit, path_hits, warning_line
from faithfusion.data.splits import Split, check_split, every_nth_of_each_camera, split_clip
from faithfusion.data.trajectory_config import constant_shift_m
from faithfusion.distill.distil import refine_stage, settle
from faithfusion.distill.weights.registry import weight_of
from faithfusion.eig.assess import assess_scene, assessment_facts, update_assessment
from faithfusion.eig.calibrate import calibration_from_plain
from faithfusion.fit.fit import fit_scene
from faithfusion.pipeline.config import RefineConfig
from faithfusion.pipeline.stage_files import StageClip, load_stage_clip, save_stage_clip
from faithfusion.scene.fitted_poses import clip_as_fitted
from faithfusion.scene.scene_file import load_scene, save_scene
from faithfusion.street.rig import ego_poses
from faithfusion.street.street_config import StreetConfig, check_config
from faithfusion.street.street_plan import plan_street
from faithfusion.street.writer import make_street
from faithfusion.types import DriveClip, Frame, GaussianScene
from faithfusion.utils.device import choose_device
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say
from faithfusion.utils.stage_log import StageLog
from faithfusion.video.editing.editor import ClipFacts
from faithfusion.video.editors.registry import OpenedEditors, open_editors
from faithfusion.window.warp import warp_source
from faithfusion.window.window import window_of

OTHER_CAMERAS_STRIDE = 4
"""Time stamps from one compared frame of an unused camera to the next."""


@dataclass(frozen=True)
class RefineRun:
    """What a finished run knows: drive, new path and what is in its way, frames that no fit has seen (held-out ones,
    and of cameras that were not used), scenes before and after with what is stored beside them (calibration, origin),
    the unrefined and the last regenerated clip."""

    clip: DriveClip
    camera_name: str
    path: NewPath
    hits: tuple[PathHit, ...]
    held_out: tuple[Frame, ...]
    other_cameras: tuple[Frame, ...]
    metadata: dict[str, Any]
    before: GaussianScene
    after: GaussianScene
    unrefined: StageClip
    last: StageClip


def check_inputs(config: RefineConfig) -> OpenedEditors:
    """Reads what the user gave without writing anything, and opens the editors. Raises InputError for weights, a
    drive, a camera, a trajectory or a number of frames that cannot work."""
    num_frames = _check_drive(config)
    choose_device(config.fit.device)
    weight_of(config.distill.weight)
    opened = open_editors(config.editors, str(choose_device("auto")))
    opened.check(ClipFacts(num_frames, config.warp.num_views))
    return opened


def _check_drive(config: RefineConfig) -> int:
    """The number of time stamps of the run."""
    if config.scene is None:
        check_config(street_config(config))
        if config.num_frames > config.street.num_frames:
            raise InputError("num_frames", config.num_frames, f"at most the street's {config.street.num_frames} frames")
        for name in config.cameras:
            if name not in config.street.camera_names:
                raise InputError("cameras", name, f"names out of {', '.join(config.street.camera_names)}")
        require_camera(config, config.cameras or config.street.camera_names)
        check_split(config.split, config.num_frames or config.street.num_frames)
        lay_out(config.trajectory_entries, *street_drive(config))
        return config.num_frames or config.street.num_frames
    clip = read_drive(Path(config.scene), camera_names=config.cameras or None, num_frames=config.num_frames or None)
    require_camera(config, clip.camera_names)
    split_clip(clip, config.split)
    clip_path(clip, config.trajectory_entries)
    return clip.num_frames


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


def open_drive(config: RefineConfig, log: StageLog) -> DriveClip:
    """The drive of the run; the procedural street is made if no drive is given. Raises InputError for a bad one."""
    root = Path(config.scene) if config.scene is not None else Path(config.out) / "drive"
    if config.scene is None:
        street = street_config(config)
        log.run("street", street, [root], lambda: make_street(street, root))
    return read_drive(root, camera_names=config.cameras or None, num_frames=config.num_frames or None)


def run_refinement(config: RefineConfig, log: StageLog, opened: OpenedEditors | None = None) -> RefineRun:
    """Drive -> fit -> calibrated EIG -> per stage of the new path: render, regenerate, distil.

    `opened`: the editors, if `check_inputs` has it already. Raises InputError before any work.
    """
    out = Path(config.out)
    opened = opened or open_editors(config.editors, str(choose_device("auto")))
    device = choose_device(config.fit.device)
    editor = opened.editor(config.editor.composite)
    clip = open_drive(config, log)
    camera_name = require_camera(config, clip.camera_names)
    path = clip_path(clip, config.trajectory_entries)
    hits = path_hits(clip, path)
    if hits:
        say(f"warning: {warning_line(hits)}")
    split = split_clip(clip, config.split)

    fitted, state = out / "scene_fitted.safetensors", out / "fit_state.safetensors"
    source = "own street" if config.scene is None else (str(clip.root.resolve()), drive_fingerprint(clip, clip.frames))
    inputs = (source, clip.camera_names, clip.num_frames, config.split, config.fit)
    log.run("fit", inputs, [fitted], lambda: _fit(clip, split.train, config, fitted, state))
    as_fitted, _ = load_scene(fitted, device)
    clip = clip_as_fitted(clip, as_fitted)
    split, path = split_clip(clip, config.split), clip_path(clip, config.trajectory_entries)
    known = out / "scene_calibrated.safetensors"
    settling = (config.settle_steps, config.distill.optimise, config.distill.densify, config.seed)
    inputs = (config.eig, config.posterior_stride, config.warp, settling, camera_name, path.key())
    unrefined = out / "clip_unrefined.safetensors"
    outputs = [known, unrefined]
    log.run("calibrate", inputs, outputs, lambda: _calibrate(as_fitted, clip, split, config, path, outputs))
    before, metadata = load_scene(known, device)
    calibration = calibration_from_plain(metadata["calibration"])

    after, last = before, unrefined
    inputs = (config.distill, config.editor, config.warp, camera_name, config.seed, opened.identity, path.key())
    schedule = config.distill.schedule
    stages = path.stages(schedule.num_stages(float(path.displacement_m().max()))) + [path] * (schedule.passes - 1)
    for number, step in enumerate(stages, 1):
        outputs = [out / f"scene_stage_{number}.safetensors", out / f"clip_stage_{number}.safetensors"]

        def refine(scene=after, step=step, outputs=outputs) -> None:
            window = load_stage_clip(unrefined).window if len(stages) == 1 else None
            stage = refine_stage(scene, clip, split.recorded, calibration, editor, config, step, window)
            save_stage_clip(outputs[1], StageClip(step.name, stage.window, stage.edited))
            save_scene(outputs[0], stage.scene, metadata | step.facts())

        log.run(f"{step.name}, stage {number}", inputs, outputs, refine)
        after, last = load_scene(outputs[0], device)[0], outputs[1]
    return RefineRun(
        clip=clip,
        camera_name=camera_name,
        path=path,
        hits=hits,
        held_out=split.held_out,
        other_cameras=_other_cameras(clip, as_fitted),
        metadata=metadata,
        before=before,
        after=after,
        unrefined=load_stage_clip(unrefined),
        last=load_stage_clip(last),
    )


def _other_cameras(clip: DriveClip, fitted: GaussianScene) -> tuple[Frame, ...]:
    """Frames of the drive's cameras that the run did not use, at its time stamps, posed as the fit refined it; none,
    and a line that says so, if they cannot be read: perhaps that is why they are not used."""
    try:
        whole = clip_as_fitted(read_drive(clip.root, num_frames=clip.num_frames), fitted)
    except InputError as error:
        say(f"cameras that were not used are not compared: {error}")
        return ()
    others = [frame for frame in whole.frames if frame.camera_name not in clip.camera_names]
    return tuple(frame for frame in others if frame.time_index % OTHER_CAMERAS_STRIDE == 0)


def require_camera(config: RefineConfig, names: Sequence[str]) -> str:
    """The camera whose clip is refined, one of `names`."""
    name = config.camera or names[0]
    if name not in names:
        raise InputError("camera", name, f"one of {', '.join(names)}")
    return name


def _fit(clip: DriveClip, train: Sequence[Frame], config: RefineConfig, path: Path, state: Path) -> None:
    scene, log = fit_scene(clip, train, config.fit, state_path=state)
    save_scene(path, scene, {"clip": clip.name, "fit_seconds": log.seconds})
    state.unlink(missing_ok=True)


def _calibrate(
    scene: GaussianScene,
    clip: DriveClip,
    split: Split,
    config: RefineConfig,
    new_path: NewPath,
    outputs: Sequence[Path],
) -> None:
    """Writes the scene, settled, with its calibration, and its clip on the new path with EIG."""
    informing = every_nth_of_each_camera(split.train, config.posterior_stride)
    calibration = assess_scene(scene, clip, informing, split.calibration, config.eig).calibration
    scene = settle(scene, clip, split, config)
    informing = every_nth_of_each_camera(split.recorded, config.posterior_stride)
    known = update_assessment(scene, clip, informing, calibration, config.eig)
    cameras = path_cameras(clip, require_camera(config, clip.camera_names), new_path)
    recorded = warp_source(scene, clip, split.recorded, config.fit.initialise, config.warp)
    window = window_of(known, clip, cameras, recorded)
    save_stage_clip(outputs[1], StageClip(new_path.name, window))
    facts = assessment_facts(clip, config.split, config.posterior_stride, calibration, settled=config.settle_steps > 0)
    save_scene(outputs[0], scene, {"clip": clip.name, **facts})
