"""The stages of a run, each written once: fit, calibrate, render, edit, distil.

Every function takes what the stage before has made and returns what the next one needs; nothing but `fit_stage` writes
a file. A refinement, a reconstruction, the benchmarks, the ablation and the training pairs are made of these.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from faithfusion.data.splits import every_nth_of_each_camera, extrapolated
from faithfusion.data.trajectories import distance_from_path_m
from faithfusion.distill.config import DistillConfig, MovingObjects
from faithfusion.distill.distil import distill
from faithfusion.distill.supervision import distilled_share, supervision
from faithfusion.distill.weights.context import SceneContext, WeightContext
from faithfusion.eig.assess import assess_scene, update_assessment
from faithfusion.eig.calibrate import Calibration, CalibrationBins, calibration_bins, scaled_calibration
from faithfusion.eig.config import EigConfig
from faithfusion.eig.field import EigField
from faithfusion.fit.fit import fit_scene
from faithfusion.fit.fit_config import FitConfig
from faithfusion.fit.supervised_view import ViewLoader, load_view
from faithfusion.pipeline.drive import Drive
from faithfusion.scene.scene_file import load_scene, save_scene
from faithfusion.types import Camera, GaussianScene, Window
from faithfusion.utils.device import choose_device
from faithfusion.utils.plain import to_plain
from faithfusion.utils.stage_log import StageLog
from faithfusion.video.editing.editor import EditedClip
from faithfusion.window.warp import warp_source
from faithfusion.window.warp_config import WarpConfig
from faithfusion.window.window import window_of

SETTLE_TRAIN_SHARE = 0.5
"""Of the steps that settle a scene: views it has seen before, so that it keeps them."""


def fit_stage(
    log: StageLog,
    drive: Drive,
    config: FitConfig,
    path: Path,
    *,
    depends_on: Any = (),
    seed: int = 0,
    device: str = "auto",
) -> tuple[GaussianScene, dict[str, Any], Drive]:
    """Fits Gaussians to the training frames and writes them to `path`, unless that was done before.

    Returns the scene on `device`, what its file says about it, and the drive with the poses of the fit. `depends_on`:
    what decides about the result beside `config` and `seed`, such as the content of the drive. A killed fit continues
    from `fit_state.safetensors` beside `path`.
    """
    state = path.with_name("fit_state.safetensors")

    def work() -> None:
        scene, fit_log = fit_scene(
            drive.clip, drive.split.train, config, seed=seed, device=device, lidar=drive.lidar, state_path=state
        )
        facts = {"clip": drive.clip.name, "fit": to_plain(config), "fit_seconds": fit_log.seconds}
        save_scene(path, scene, facts)
        state.unlink(missing_ok=True)

    log.run("fit", (depends_on, config, seed), [path], work)
    scene, metadata = load_scene(path, choose_device(device))
    return scene, metadata, drive.as_fitted(scene)


def calibrate(scene: GaussianScene, drive: Drive, config: EigConfig, *, posterior_stride: int) -> EigField:
    """What is known after the training frames, one of `posterior_stride` per camera, calibrated on the withheld
    stretches, if they are long enough to tell (`data.splits.extrapolated`)."""
    informing = every_nth_of_each_camera(drive.split.train, posterior_stride)
    return assess_scene(scene, drive.clip, informing, extrapolated(drive.split.calibration), config)


def settle(
    scene: GaussianScene, drive: Drive, config: DistillConfig, *, num_steps: int, seed: int = 0, device: str = "auto"
) -> GaussianScene:
    """Fits the stretches that were withheld to calibrate EIG: without them the drive would keep holes."""
    if not (num_steps and drive.split.calibration):
        return scene
    schedule = dataclasses.replace(config.schedule, steps_per_stage=num_steps, original_share=SETTLE_TRAIN_SHARE)
    withheld = [load_view(drive.clip, frame) for frame in drive.split.calibration]
    recorded = ViewLoader(drive.clip, drive.split.train)
    config = dataclasses.replace(config, schedule=schedule, metric="parameters")
    ground = drive.lidar.ground(drive.split.train)
    return distill(scene, recorded, withheld, config, ground=ground, name="settle", seed=seed, device=device)


def recalibrate(
    scene: GaussianScene, drive: Drive, calibration: Calibration, config: EigConfig, *, posterior_stride: int
) -> EigField:
    """What is known after all frames that may be fitted, the withheld ones too, under a calibration made before."""
    informing = every_nth_of_each_camera(drive.split.recorded, posterior_stride)
    return update_assessment(scene, drive.clip, informing, calibration, config)


@torch.no_grad()
def carry_error(
    known: EigField, drive: Drive, clips: Sequence[tuple[Window, EditedClip]], moving_objects: MovingObjects
) -> EigField:
    """What is known of a scene into which edited clips were distilled. `known`: the same under the calibration of
    before the distillation.

    No recorded view tells that the scene has got better beside the path. But it shows what the edit says there, so its
    error is that of the finished frames, `EditedClip.sq_error`, and what it departs from them, which is known:

        expected = E + (scene - finished frame)^2

    for all that is distilled; what is not (moving objects that are kept) stays as it was. These errors over the EIG of
    the new views scale the calibration (`eig.calibrate.scaled_calibration`).
    """
    now: list[CalibrationBins] = []
    before: list[CalibrationBins] = []
    for window, edited in clips:
        distances_m = [distance_from_path_m(drive.clip, camera) for camera in window.cameras]
        volume, render, _ = known.volume(window.cameras, window.time_indices, distances_m)
        told = edited.sq_error + (render - edited.frames).square().mean(-1)
        expected, share = volume.expected_sq_error, distilled_share(known.scene, window, moving_objects)
        now.append(calibration_bins(volume.eig_nats, torch.lerp(expected, told, share)))
        before.append(calibration_bins(volume.eig_nats, expected))
    sums = [functools.reduce(operator.add, bins) for bins in (now, before)]
    return dataclasses.replace(known, calibration=scaled_calibration(known.calibration, *sums))


def render(known: EigField, drive: Drive, cameras: Sequence[Camera], config: WarpConfig) -> Window:
    """The clip of the scene from `cameras`, one per time stamp, as an editor takes it."""
    recorded = warp_source(known.scene, drive.clip, drive.split.recorded, drive.lidar, config)
    return window_of(known, drive.clip, cameras, recorded)


def scene_context(scene: GaussianScene, drive: Drive, recorded: ViewLoader, *, posterior_stride: int) -> SceneContext:
    """What the weights of the distillation may know of a scene beside the edited clip."""
    informing = every_nth_of_each_camera(drive.split.recorded, posterior_stride)
    return SceneContext(scene, drive.clip, recorded, informing)


def distil(
    known: EigField,
    drive: Drive,
    window: Window,
    edited: EditedClip,
    config: DistillConfig,
    *,
    posterior_stride: int,
    name: str,
    chance: object,
    seed: int = 0,
    device: str = "auto",
) -> GaussianScene:
    """Pulls an edited clip back into the scene it was rendered from, while the recorded views keep being fitted.
    `known`: that scene, and what the recorded views tell of it."""
    scene, recorded = known.scene, ViewLoader(drive.clip, drive.split.recorded)
    context = scene_context(scene, drive, recorded, posterior_stride=posterior_stride)
    novel = supervision(WeightContext(context, window), edited, config)
    ground = drive.lidar.ground(drive.split.recorded)
    at = {"name": name, "chance": chance, "seed": seed, "device": device}
    return distill(scene, recorded, novel, config, ground=ground, known=known, **at)
