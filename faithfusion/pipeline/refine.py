"""A refinement run from drive to distilled scene, in stages that are skipped when they are done."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faithfusion.config import parse_config
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.fingerprint import drive_fingerprint
from faithfusion.data.new_path import NewPath, clip_path, path_cameras
from faithfusion.data.path_hits import PathHit, path_hits, warning_line
from faithfusion.distill.distil import OPTIMISE
from faithfusion.eig.assess import assessment_facts
from faithfusion.eig.calibrate import Calibration, calibration_from_plain
from faithfusion.eig.field import EigField
from faithfusion.pipeline.config import RefineConfig
from faithfusion.pipeline.drive import Drive
from faithfusion.pipeline.given_scene import given_stage, write_back
from faithfusion.pipeline.inputs import RunInputs, check_inputs, make_street_once, read_run_drive, require_camera
from faithfusion.pipeline.stage_files import CLIP_FORMAT, StageClip, kept_window, load_stage_clip, save_stage_clip
from faithfusion.pipeline.stages import calibrate, carry_error, distil, fit_stage, recalibrate, render, settle
from faithfusion.scene.fitted_poses import clip_as_fitted
from faithfusion.scene.scene_file import load_scene, save_scene
from faithfusion.types import Camera, DriveClip, Frame, GaussianScene
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.device import choose_device
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say
from faithfusion.utils.stage_log import STATE, StageLog
from faithfusion.video.editing.editor import Editor
from faithfusion.window.window import rendered_window

OTHER_CAMERAS_STRIDE = 4
"""Time stamps from one compared frame of an unused camera to the next."""
FITTED, CALIBRATED, FINAL = "scene_fitted.safetensors", "scene_calibrated.safetensors", "scene.safetensors"
UNREFINED, WINDOW_STATE = "clip_unrefined.safetensors", "window_state.safetensors"


@dataclass(frozen=True)
class RefineRun:
    """What a finished run knows: its drive, the new path and what is in its way, frames of cameras that were not used,
    scenes before and after with what is stored beside them (calibration, origin), the unrefined and the last
    regenerated clip."""

    drive: Drive
    camera_name: str
    path: NewPath
    hits: tuple[PathHit, ...]
    other_cameras: tuple[Frame, ...]
    metadata: dict[str, Any]
    before: GaussianScene
    after: GaussianScene
    unrefined: StageClip
    last: StageClip

    @property
    def clip(self) -> DriveClip:
        """The fitted part of the drive, with the poses of the fit."""
        return self.drive.clip


def run_refinement(config: RefineConfig, log: StageLog, inputs: RunInputs | None = None) -> RefineRun:
    """Drive -> fit, or given Gaussians -> calibrated EIG -> per stage of the new path: render, regenerate, distil.

    `inputs`: what `check_inputs` has opened already. Raises InputError before any work.
    """
    inputs = inputs or check_inputs(config)
    fitted, drive = begin_run(config, log, inputs.drive)
    editor = inputs.opened.editor(config.editor.composite, config.seed)
    _refine(drive, editor, inputs.opened.identity, config, log)
    run = open_run(config, drive, fitted)
    given = config.gaussians
    written = None if given is None else write_back(Path(given), Path(config.out) / FITTED, run.after)
    if written is not None:
        say(f"{written}: the refined Gaussians, as they came")
    return run


def begin_run(config: RefineConfig, log: StageLog, drive: Drive | None = None) -> tuple[GaussianScene, Drive]:
    """What every run of a drive begins with: street, fit and calibrated EIG, as far as they are not done.

    `drive`: the recorded one, if it has been read already. Returns the fitted scene, and the drive with its poses.
    """
    make_street_once(config, log)
    drive = drive or read_run_drive(config)
    warn_of_hits(drive.clip, config)
    content = "own street" if config.scene is None else drive_fingerprint(drive.clip, drive.clip.frames)
    source = (content, drive.clip.camera_names, drive.clip.num_frames, config.split)
    path, at = Path(config.out) / FITTED, {"depends_on": source, "device": config.device}
    if config.gaussians is None:
        fitted, _, drive = fit_stage(log, drive, config.fit, path, seed=config.seed, **at)
    else:
        fitted, drive = given_stage(log, drive, Path(config.gaussians), path, **at)
    known = Path(config.out) / CALIBRATED
    settling = (config.settle_steps, OPTIMISE)
    depends_on = (config.eig, config.posterior_stride, settling)
    log.run("calibrate", depends_on, [known], lambda: _calibrate(fitted, drive, config, known))
    return fitted, drive


def share_beginning(begun: Path, out: Path) -> None:
    """Lets the run in `out`, unless it has begun, go on from the fit and the calibration of another one of the same
    recorded drive; where its options of these stages differ, they are done anew."""
    if (out / STATE).is_file():
        return
    out.mkdir(parents=True, exist_ok=True)
    for name in (FITTED, CALIBRATED, STATE):  # the log last: what it names is there
        with atomic_file(out / name) as temporary:
            shutil.copyfile(begun / name, temporary)


def warn_of_hits(clip: DriveClip, config: RefineConfig) -> None:
    """Says what stands in the way of the new path."""
    hits = path_hits(clip, clip_path(clip, config.trajectory_entries))
    if hits:
        say(f"warning: {warning_line(hits)}")


def _calibrate(scene: GaussianScene, drive: Drive, config: RefineConfig, path: Path) -> None:
    """Writes the scene, settled, with its calibration."""
    stride, steps = config.posterior_stride, config.settle_steps
    calibration = calibrate(scene, drive, config.eig, posterior_stride=stride).calibration
    scene = settle(scene, drive, config.distill, num_steps=steps, seed=config.seed, device=config.device)
    facts = assessment_facts(drive.clip, config.split, stride, calibration, settled=steps > 0)
    given = {} if config.gaussians is None else {"given": Path(config.gaussians).name}
    save_scene(path, scene, {"clip": drive.clip.name, **given, **facts})


def _refine(drive: Drive, editor: Editor, identity: str, config: RefineConfig, log: StageLog) -> None:
    """Writes, per stage of the path, the rendered and edited clip and the scene after its distillation."""
    out, device = Path(config.out), choose_device(config.device)
    camera_name = require_camera(config, drive.clip.camera_names)
    path = clip_path(drive.clip, config.trajectory_entries)
    scene, metadata = load_scene(out / CALIBRATED, device)
    calibration = calibration_from_plain(metadata["calibration"])
    depends_on = (CLIP_FORMAT, config.distill, config.editor, config.warp, camera_name, identity, path.key())
    steps = stages_of(path, config)
    stride = config.posterior_stride

    def known_now(scene: GaussianScene, calibration: Calibration) -> EigField:
        return recalibrate(scene, drive, calibration, config.eig, posterior_stride=stride)

    if len(steps) > 1:
        unrefined, cameras = out / UNREFINED, path_cameras(drive.clip, camera_name, path)
        first = (scene, calibration)  # what these names name changes below
        log.run(
            "unrefined",
            (CLIP_FORMAT, camera_name, path.key()),
            [unrefined],
            lambda: _render(known_now(*first), drive, cameras, path, unrefined),
        )
    for number, step in enumerate(steps, 1):
        outputs = [out / clip_file(number), out / scene_file(number, len(steps))]

        def refine(scene=scene, calibration=calibration, step=step, outputs=outputs) -> None:
            cameras = path_cameras(drive.clip, camera_name, step)
            known = functools.cache(lambda: known_now(scene, calibration))  # once, for the clip and its distillation
            window = kept_window(out / WINDOW_STATE, log.key, lambda: render(known(), drive, cameras, config.warp))
            say(f"{step.name}: regenerating {len(cameras)} frames")
            edited = editor.edit(window)
            distilled = distil(
                known(),
                drive,
                window,
                edited,
                config.distill,
                posterior_stride=stride,
                name=f"distil, {step.name}",
                chance=step.chance_name,
                seed=config.seed,
                device=config.device,
            )
            after = known_now(distilled, calibration)
            after = carry_error(after, drive, [(window, edited)], config.distill.moving_objects)
            save_stage_clip(outputs[0], StageClip(step.name, window, edited))
            save_scene(outputs[1], distilled, metadata | step.facts() | {"calibration": after.calibration.to_plain()})
            (out / WINDOW_STATE).unlink(missing_ok=True)

        log.run(f"{step.name}, stage {number}", depends_on, outputs, refine)
        scene, told = load_scene(outputs[1], device)
        calibration = calibration_from_plain(told["calibration"])


def stages_of(path: NewPath, config: RefineConfig) -> list[NewPath]:
    """The paths that are rendered, edited and distilled one after the other; the last one is the whole trajectory."""
    schedule = config.distill.schedule
    return path.stages(schedule.num_stages(float(path.displacement_m().max()))) + [path] * (schedule.passes - 1)


def clip_file(number: int) -> str:
    """Name of the file with the edited clip of a stage, counted from 1."""
    return f"clip_stage_{number}.safetensors"


def scene_file(number: int, count: int) -> str:
    """Name of the file with the scene after a stage; that of the last one is the scene of the run."""
    return FINAL if number == count else f"scene_stage_{number}.safetensors"


def _render(known: EigField, drive: Drive, cameras: Sequence[Camera], path: NewPath, file: Path) -> None:
    save_stage_clip(file, StageClip(path.name, rendered_window(known, drive.clip, cameras, range(len(cameras)))))


def open_run(config: RefineConfig, drive: Drive, fitted: GaussianScene) -> RefineRun:
    """A finished run, read from its folder. `drive`: with the poses of the fit. Nothing is made and nothing written.

    Raises InputError if a file of the run is missing or damaged.
    """
    out, device = Path(config.out), choose_device(config.device)
    path = clip_path(drive.clip, config.trajectory_entries)
    count = len(stages_of(path, config))
    before, metadata = load_scene(out / CALIBRATED, device)
    after, _ = load_scene(out / FINAL, device)
    last = load_stage_clip(out / clip_file(count))
    return RefineRun(
        drive=drive,
        camera_name=require_camera(config, drive.clip.camera_names),
        path=path,
        hits=path_hits(drive.clip, path),
        other_cameras=_other_cameras(drive.clip, fitted, config),
        metadata=metadata,
        before=before,
        after=after,
        unrefined=load_stage_clip(out / UNREFINED) if count > 1 else last,
        last=last,
    )


def read_finished_run(folder: Path, scene: str | None = None) -> tuple[RefineRun, RefineConfig]:
    """A finished run and its options, from its folder and its drive. `scene`: where a recorded drive lies now, if it
    was moved. Raises InputError if the folder holds no finished run, or the drive cannot be read."""
    if not (folder / FINAL).is_file() or not (folder / "config.yaml").is_file():
        raise InputError(folder, "no finished run", "a folder that refine_sequence has filled")
    config = parse_config(RefineConfig, ["--config", str(folder / "config.yaml")])
    config = dataclasses.replace(config, out=str(folder), scene=scene or config.scene)
    fitted, _ = load_scene(folder / CALIBRATED)
    return open_run(config, read_run_drive(config).as_fitted(fitted), fitted), config


def _other_cameras(clip: DriveClip, fitted: GaussianScene, config: RefineConfig) -> tuple[Frame, ...]:
    """Frames of the drive's cameras that the run did not use, at its time stamps, posed as the fit refined it; none,
    and a line that says so, if they cannot be read: perhaps that is why they are not used."""
    if not config.cameras:
        return ()
    try:
        whole = clip_as_fitted(read_drive(clip.root, num_frames=clip.num_frames), fitted)
    except InputError as error:
        say(f"cameras that were not used are not compared: {error}")
        return ()
    others = [frame for frame in whole.frames if frame.camera_name not in clip.camera_names]
    return tuple(frame for frame in others if frame.time_index % OTHER_CAMERAS_STRIDE == 0)
