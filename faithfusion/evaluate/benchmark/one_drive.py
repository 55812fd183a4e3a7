"""The results of one drive: every method at every shift, measured beside the unrefined scene and the truth."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faithfusion.data.images import load_image
from faithfusion.evaluate.benchmark.columns import Frames
from faithfusion.evaluate.benchmark.config import DEFAULT, BenchmarkConfig
from faithfusion.evaluate.benchmark.drives import BenchmarkDrive, at_shift
from faithfusion.evaluate.benchmark.frames import clip_frames
from faithfusion.evaluate.benchmark.names import (
    BEFORE,
    OTHER_CAMERAS,
    RECORDED,
    TRUTH,
    picture_name,
    place_name,
    scene_row,
    video_row,
)
from faithfusion.evaluate.benchmark.opened import Opened
from faithfusion.evaluate.benchmark.places import (
    OtherCameras,
    Place,
    has_labels,
    new_path,
    other_camera_frames,
    other_cameras,
)
from faithfusion.evaluate.driving.drive_references import missing_road_lines
from faithfusion.evaluate.driving.feature_nets import FeatureNet
from faithfusion.evaluate.report.run_views import RunViews
from faithfusion.evaluate.report.strip import write_strip
from faithfusion.evaluate.report.summary import final_views
from faithfusion.evaluate.result_files import read_json, write_json
from faithfusion.pipeline.config import RefineConfig
from faithfusion.pipeline.drive import Drive
from faithfusion.pipeline.inputs import RunInputs, read_run_drive
from faithfusion.pipeline.refine import RefineRun, begin_run, run_refinement, share_beginning
from faithfusion.scene.scene_file import load_tensors, save_tensors
from faithfusion.street.writer import make_street
from faithfusion.utils.progress import report_progress, track
from faithfusion.utils.stage_log import StageLog


@dataclass(frozen=True)
class DriveWork:
    """A drive between its steps. `key`: what the results depend on. What is large is read when it is asked for."""

    config: BenchmarkConfig
    drive: BenchmarkDrive
    opened: Opened
    key: str

    @property
    def folder(self) -> Path:
        """Where everything lies until the drive is done."""
        return Path(self.config.out) / "work" / self.drive.slug

    @property
    def begun(self) -> Path:
        """The folder of the fit and the calibration, from which every run goes on."""
        return self.folder / "begun"

    @property
    def refine(self) -> RefineConfig:
        """The options of a refinement of this drive, with the folder of the drive."""
        own = self.drive.refine
        return own if own.scene else dataclasses.replace(own, scene=str(self.folder / "drive"))

    @cached_property
    def read(self) -> Drive:
        """The drive as it was recorded."""
        return read_run_drive(self.refine)

    @cached_property
    def places(self) -> dict[float, Place]:
        """By shift, what clips are compared with there; filled by the first run that is measured."""
        return {}

    def rows_path(self, method: str, shift_m: float) -> Path:
        """The file with what was measured of one run; its features lie beside it."""
        return self.folder / f"rows_{method.replace(' ', '_')}_{shift_m:+.2f}m.json"


def measure_drive(config: BenchmarkConfig, drive: BenchmarkDrive, opened: Opened, key: str) -> dict[str, bytes]:
    """Refines a drive by every method at every shift and measures what came out, as far as that was not done.

    Returns the files of its results by name, the one that says that it is done last.
    """
    work = DriveWork(config, drive, opened, key)
    runs = [(shift_m, method) for shift_m in config.shifts_m for method in config.methods]
    for _ in track(_steps(work, runs), drive.name, 1 + len(runs)):
        pass
    return _collected(work, runs)


def _steps(work: DriveWork, runs: list[tuple[float, str]]) -> Iterator[None]:
    """The beginning of the drive, then its runs, each without a bar of its own."""
    with report_progress(_nothing):
        _begin(work)
    yield
    for shift_m, method in runs:
        path = work.rows_path(method, shift_m)
        if not (path.is_file() and read_json(path).get("key") == work.key):
            with report_progress(_nothing):
                _measure_run(work, method, shift_m, path)
        yield


def _nothing(label: str, done: int, total: int) -> None:
    """Takes the progress of a step, of which nobody is told."""


def _begin(work: DriveWork) -> None:
    """Makes the street, if the drive is none that was recorded, fits it and calibrates."""
    if work.drive.refine.scene is None:
        street, root = (
            dataclasses.replace(work.drive.refine.street, shifts_m=work.config.shifts_m),
            work.folder / "drive",
        )
        StageLog(work.folder).run("street", street, [root], lambda: make_street(street, root))
    config = dataclasses.replace(at_shift(work.refine, work.config.shifts_m[0]), out=str(work.begun))
    begin_run(config, StageLog(work.begun), work.read)


def _measure_run(work: DriveWork, method: str, shift_m: float, path: Path) -> None:
    """Writes the rows of one run, and the features of its pictures beside them; the run itself is not kept."""
    folder = work.folder / "runs" / f"{method.replace(' ', '_')}_{shift_m:+.2f}m"
    run, config, log = _refined(work, method, shift_m, folder)
    views, is_first = final_views(run, config.editor.regenerate_rms), method == DEFAULT
    if shift_m not in work.places:
        work.places[shift_m] = new_path(run, views, work.opened.nets)
    place, clips = work.places[shift_m], _clips(views, method, is_first=is_first)
    at = (place.target, place.references, work.opened.nets)
    rows = {place_name(shift_m): {name: clip_frames(clip, *at) for name, clip in clips.items()}}
    if run.other_cameras:
        others = other_cameras(run, work.opened.nets)
        rows[OTHER_CAMERAS] = _other_rows(work, run, others, method, shift_m)
    net = work.opened.nets.features
    if net is not None:
        features = {name: _features(net, clip) for name, clip in clips.items()}
        save_tensors(path.with_suffix(".safetensors"), features, {})
    if is_first:
        shown = (views.before, views.eig.eig_nats, views.edit, views.after, views.truth)
        write_strip(work.folder / picture_name(work.drive, shift_m), *shown)
    write_json(path, {"key": work.key, "places": rows, "seconds": log.seconds})
    if not work.config.keep_work:
        shutil.rmtree(folder)


def _refined(work: DriveWork, method: str, shift_m: float, folder: Path) -> tuple[RefineRun, RefineConfig, StageLog]:
    """One refinement, from the fit that all methods share."""
    refine = work.config.methods[method].refine_of(at_shift(work.refine, shift_m))
    config = dataclasses.replace(refine, out=str(folder))
    share_beginning(work.begun, folder)
    log = StageLog(folder)
    return run_refinement(config, log, RunInputs(work.opened.editors[method], work.read)), config, log


def _clips(views: RunViews, method: str, *, is_first: bool) -> dict[str, Tensor]:
    """The clips that are measured, by row; with those that do not depend on the method."""
    clips = {video_row(method): views.edit, scene_row(method): views.after}
    beside = ({} if views.truth is None else {TRUTH: views.truth}) | {BEFORE: views.before}
    return beside | clips if is_first else clips


def _other_rows(
    work: DriveWork, run: RefineRun, others: OtherCameras, method: str, shift_m: float
) -> dict[str, Frames]:
    """The rows at recorded cameras that were not fitted."""
    scenes = {scene_row(method, shift_m): run.after}
    if method == DEFAULT and shift_m == work.config.shifts_m[0]:
        scenes = {TRUTH: None, BEFORE: run.before} | scenes
    return {name: other_camera_frames(others, scene, work.opened.nets) for name, scene in scenes.items()}


def _features(net: FeatureNet, clip: Tensor) -> Tensor:
    return torch.stack([net(image) for image in clip])


def _collected(work: DriveWork, runs: list[tuple[float, str]]) -> dict[str, bytes]:
    """Puts the results of all runs into the files of the drive."""
    places: dict[str, dict[str, Frames]] = {}
    features: dict[str, Tensor] = {}
    seconds: dict[str, Any] = {}
    for shift_m, method in runs:
        path = work.rows_path(method, shift_m)
        told = read_json(path)
        for name, rows in told["places"].items():
            places.setdefault(name, {}).update(rows)
        seconds[f"{method}, {shift_m:+g} m"] = told["seconds"]
        if work.opened.nets.features is not None:
            of_run, _ = load_tensors(path.with_suffix(".safetensors"))
            features |= {f"{place_name(shift_m)} {name}": value for name, value in of_run.items()}
    slug, files = work.drive.slug, [picture_name(work.drive, shift_m) for shift_m in work.config.shifts_m]
    facts = _facts(work)
    if work.opened.nets.features is not None:
        features[RECORDED] = _recorded_features(work, work.opened.nets.features)
        files.append(f"drive_{slug}.safetensors")
        save_tensors(work.folder / files[-1], features, {})
    files.append(f"drive_{slug}.json")
    write_json(
        work.folder / files[-1],
        facts | {"key": work.key, "has_features": bool(features), "places": places, "seconds": seconds},
    )
    return {name: (work.folder / name).read_bytes() for name in files}


def _recorded_features(work: DriveWork, net: FeatureNet) -> Tensor:
    clip = work.read.clip
    camera = work.refine.camera or clip.camera_names[0]
    return torch.stack([net(load_image(frame)) for frame in clip.frames if frame.camera_name == camera])


def _facts(work: DriveWork) -> dict[str, Any]:
    """What a reader of the table must know of the drive."""
    clip = work.read.clip
    camera = clip.frame(0, work.refine.camera or clip.camera_names[0]).camera
    notes = [] if has_labels(clip) else ["no NTA-IoU (no boxes, or no LiDAR points to count in them)"]
    missing = missing_road_lines(clip)
    notes += [] if missing is None else [f"no NTL-IoU ({missing})"]
    return {"name": work.drive.name, "frames": clip.num_frames, "size": [camera.width, camera.height], "notes": notes}
