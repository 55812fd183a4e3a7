"""The progressive loop: render on a new path, ask EIG what is unknown there, regenerate that, distil, go further."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.data.new_path import NewPath, path_cameras
from faithfusion.data.splits import Split, every_nth_of_each_camera
from faithfusion.distill.schedule import plan_views
from faithfusion.distill.supervision import supervision
from faithfusion.distill.weights.context import SceneContext, WeightContext
from faithfusion.eig.assess import update_assessment
from faithfusion.eig.calibrate import Calibration
from faithfusion.fit.fit import drive_extent_m
from faithfusion.fit.optimiser import SceneOptimiser
from faithfusion.fit.supervised_view import SupervisedView, ViewLoader, load_view, to_device
from faithfusion.pipeline.config import RefineConfig
from faithfusion.render.render_view import render_view
from faithfusion.scene.ground import Ground
from faithfusion.scene.initialise import ground_below, lidar_of_drive
from faithfusion.scene.scene_file import detach_scene, scene_to
from faithfusion.types import Camera, DriveClip, Frame, GaussianScene, Window
from faithfusion.utils.device import choose_device
from faithfusion.utils.progress import say, track
from faithfusion.utils.seed import make_generator
from faithfusion.video.editing.editor import EditedClip, Editor
from faithfusion.window.warp import warp_source
from faithfusion.window.window import window_of

SETTLE_TRAIN_SHARE = 0.5
"""Of the steps that settle a scene: views it has seen before, so that it keeps them."""


@dataclass(frozen=True)
class Stage:
    """One stage of the loop: what was rendered on `path`, what the editor made of it, the scene after distilling."""

    path: NewPath
    window: Window
    edited: EditedClip
    scene: GaussianScene


def refine_stage(
    scene: GaussianScene,
    clip: DriveClip,
    train_frames: Sequence[Frame],
    calibration: Calibration,
    editor: Editor,
    config: RefineConfig,
    path: NewPath,
    window: Window | None = None,
) -> Stage:
    """Renders, regenerates and distils the clip of `config.camera` on one path. `window`: the rendered clip, if there
    is one of this scene already."""
    informing = every_nth_of_each_camera(train_frames, config.posterior_stride)
    cameras = path_cameras(clip, config.camera or clip.camera_names[0], path)
    if window is None:
        known = update_assessment(scene, clip, informing, calibration, config.eig)
        source = warp_source(scene, clip, train_frames, config.fit.initialise, config.warp)
        window = window_of(known, clip, cameras, source)
    say(f"{path.name}: regenerating {window.render.shape[0]} frames")
    edited = editor.edit(window)
    recorded = ViewLoader(clip, train_frames)
    context = WeightContext(SceneContext(scene, clip, recorded, informing), cameras)
    novel = supervision(context, window, edited, config.distill)
    distilled = distill(scene, recorded, novel, config, path)
    return Stage(path, window, edited, distilled)


def settle(scene: GaussianScene, clip: DriveClip, split: Split, config: RefineConfig) -> GaussianScene:
    """Fits the stretches that were withheld to calibrate EIG: without them the drive would keep holes."""
    if not (config.settle_steps and split.calibration):
        return scene
    schedule = dataclasses.replace(
        config.distill.schedule, steps_per_stage=config.settle_steps, original_share=SETTLE_TRAIN_SHARE
    )
    config = dataclasses.replace(config, distill=dataclasses.replace(config.distill, schedule=schedule))
    withheld = [load_view(clip, frame) for frame in split.calibration]
    return distill(scene, ViewLoader(clip, split.train), withheld, config, None)


def distill(
    scene: GaussianScene,
    recorded: ViewLoader,
    novel: Sequence[SupervisedView],
    config: RefineConfig,
    path: NewPath | None,
) -> GaussianScene:
    """Fits the scene to the edited views while the recorded ones keep being fitted (equation L_novel of the paper).

    `path`: of the edited views; None for recorded ones.
    """
    schedule = config.distill.schedule
    optimiser = SceneOptimiser(
        scene_to(scene, choose_device(config.fit.device)),
        dataclasses.replace(config.distill.optimise, decay_steps=schedule.steps_per_stage),
        extent_m=drive_extent_m(recorded.frames),
        densify=config.distill.densify,
        ground=_ground(recorded, config),
    )
    random = make_generator(config.seed, "distill", 0.0 if path is None else path.chance_name)
    plan = list(plan_views(schedule, len(recorded), len(novel), random))
    for planned in track(plan, "settle" if path is None else f"distil, {path.name}"):
        view = recorded.view(planned.index) if planned.is_original else novel[planned.index]
        optimiser.step(to_device(view, optimiser.sky.device))
    return scene_to(detach_scene(optimiser.scene()), scene.gaussians.means.device)


def _ground(recorded: ViewLoader, config: RefineConfig) -> Ground | None:
    if config.distill.optimise.ground_weight == 0:
        return None
    return ground_below(lidar_of_drive(recorded.clip, recorded.frames, config.fit.initialise))


def render_clip(scene: GaussianScene, cameras: Sequence[Camera]) -> Float[Tensor, "t h w 3"]:
    """Colours of a scene along a trajectory, camera t at time stamp t."""
    with torch.no_grad():
        views = [render_view(scene, camera, t).color.cpu() for t, camera in enumerate(track(cameras, "render"))]
    return torch.stack(views).clamp(0.0, 1.0)
