"""Fitted scenes with true images beside the recorded path, for measuring and for calibrating EIG."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.images import load_image
from faithfusion.data.splits import every_nth_of_each_camera
from faithfusion.data.trajectories import distance_from_path_m, shifted_cameras
from faithfusion.evaluate.benchmark_config import KnownTruthConfig
from faithfusion.fit.fit_config import FitConfig
from faithfusion.pipeline.drive import Drive, open_drive
from faithfusion.pipeline.stages import fit_stage
from faithfusion.scene.fitted_poses import clip_as_fitted
from faithfusion.scene.scene_file import load_scene
from faithfusion.street.truth import load_truth
from faithfusion.street.writer import make_street
from faithfusion.types import Camera, DriveClip, Frame, GaussianScene
from faithfusion.utils.errors import InputError
from faithfusion.utils.stage_log import StageLog

SCENE = "scene.safetensors"


@dataclass(frozen=True)
class TrueImage:
    """What a camera beside the recorded path would have seen. `is_sky`: None where nothing says so."""

    camera: Camera
    time_index: int
    distance_m: float  # from the recorded path
    image: Float[Tensor, "h w 3"]
    is_sky: Bool[Tensor, "h w"] | None


@dataclass(frozen=True)
class FittedScene:
    """A scene fitted to the training frames of a clip. `truth`: by shift in metres, reads true images one by one."""

    name: str
    drive: Drive
    scene: GaussianScene
    truth: Mapping[float, Callable[[], Iterator[TrueImage]]]
    log: StageLog
    folder: Path


def fitted_street(config: KnownTruthConfig, seed: int) -> FittedScene:
    """Makes and fits a procedural street, unless that was done before."""
    folder = Path(config.out) / f"street_{seed}"
    street = dataclasses.replace(config.street, seed=seed, shifts_m=config.shifts_m)
    log = StageLog(folder)
    log.run("street", street, [folder / "drive"], lambda: make_street(street, folder / "drive"))
    drive = open_drive(folder / "drive", config.split, config.fit.initialise)
    clip = drive.clip
    times = range(config.frame_stride // 2, clip.num_frames, config.frame_stride)

    def true_images(shift_m: float) -> Iterator[TrueImage]:
        cameras = shifted_cameras(clip, street.truth_cameras[0], shift_m)
        for t in times:
            view = load_truth(clip.root, shift_m, street.truth_cameras[0], t)
            yield TrueImage(cameras[t], t, distance_from_path_m(clip, cameras[t]), view.color, view.sky)

    truth = {shift_m: (lambda shift_m=shift_m: true_images(shift_m)) for shift_m in config.shifts_m}
    return _fitted(config, folder.name, drive, config.fit, truth, log, folder)


def fitted_stereo(config: KnownTruthConfig) -> FittedScene:
    """The first camera of a recorded drive is fitted; the second's images are the truth, at its own distance."""
    both = read_drive(Path(config.stereo))
    if len(both.camera_names) < 2:
        raise InputError(config.stereo, f"cameras {both.camera_names}", "a second camera whose images are the truth")
    fitted, other = both.camera_names[:2]
    drive = open_drive(config.stereo, config.split, config.stereo_fit.initialise, camera_names=(fitted,))
    folder = Path(config.out) / both.name

    def true_images() -> Iterator[TrueImage]:
        scene, _ = load_scene(folder / SCENE)
        posed, driven = clip_as_fitted(both, scene), clip_as_fitted(drive.clip, scene)
        for t in range(config.frame_stride // 2, both.num_frames, config.frame_stride):
            frame = posed.frame(t, other)
            distance_m = distance_from_path_m(driven, frame.camera)
            yield TrueImage(frame.camera, frame.time_index, distance_m, load_image(frame), None)

    shift_m = _left_of(both, both.frame(0, fitted), both.frame(0, other))
    return _fitted(config, both.name, drive, config.stereo_fit, {shift_m: true_images}, StageLog(folder), folder)


def _left_of(clip: DriveClip, frame: Frame, other: Frame) -> float:
    """Metres from one camera to another along the ego's left axis, to a centimetre."""
    between = other.camera.world_from_camera[:3, 3] - frame.camera.world_from_camera[:3, 3]
    return round(float(between @ clip.world_from_ego[frame.time_index][:3, 1]), 2)


def _fitted(
    config: KnownTruthConfig,
    name: str,
    drive: Drive,
    fit: FitConfig,
    truth: Mapping[float, Callable[[], Iterator[TrueImage]]],
    log: StageLog,
    folder: Path,
) -> FittedScene:
    path = folder / SCENE
    scene, _, drive = fit_stage(log, drive, fit, path, depends_on=config.split, device=config.device)
    return FittedScene(name, drive, scene, truth, log, folder)


def informing_frames(fitted: FittedScene, config: KnownTruthConfig) -> Sequence[Frame]:
    """The training frames that enter the posterior."""
    return every_nth_of_each_camera(fitted.drive.split.train, config.posterior_stride)
