"""An edited clip becomes views to which the scene is fitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.data.lidar import lidar_depth, load_points_world
from faithfusion.distill.config import DistillConfig, MovingObjects, NovelDepth
from faithfusion.distill.weights.context import WeightContext
from faithfusion.distill.weights.registry import weight_of
from faithfusion.fit.supervised_view import SupervisedView
from faithfusion.render.render_view import node_coverage
from faithfusion.types import DriveClip, GaussianScene, Window
from faithfusion.video.editing.editor import EditedClip

SURFACE_ALPHA = 0.9
"""A pixel that Gaussians cover less shows no surface whose depth could be held."""


def supervision(context: WeightContext, edited: EditedClip, config: DistillConfig) -> list[SupervisedView]:
    """Returns the edited clip as supervision of the scene it was rendered from, weighted as `config.weight` says.
    Raises InputError for a weight that does not exist."""
    window, chosen = context.window, weight_of(config.weight)
    share = config.novel_weight * distilled_share(context.of_scene.scene, window, config.moving_objects)
    weight = chosen.of(window, edited, context)
    depth_m = novel_depth(config.novel_depth, context.of_scene.clip, window)
    views = novel_views(window, edited, share * weight, depth_m, config)
    if chosen.besides_l1 is None:
        return views
    others = share * torch.full_like(weight, chosen.besides_l1)
    pairs = zip(views, others, strict=True)
    return [dataclasses.replace(view, l1_weight=view.pixel_weight, pixel_weight=other) for view, other in pairs]


def novel_views(
    window: Window,
    edited: EditedClip,
    weight: Float[Tensor, "t h w"],
    depth_m: Sequence[Tensor | None],
    config: DistillConfig,
) -> list[SupervisedView]:
    """Returns the edited clip as supervision, weighted per pixel (`distill.weights`), with a depth in metres or none
    per frame (`novel_depth`)."""
    targets = edited.edit if config.target == "edit" else edited.frames
    parts = zip(window.cameras, window.time_indices, targets, weight, depth_m, strict=True)
    return [SupervisedView(camera, time, image, weight, depth) for camera, time, image, weight, depth in parts]


def novel_depth(kind: NovelDepth, clip: DriveClip, window: Window) -> list[Float[Tensor, "h w"] | None]:
    """Returns the depth of every new view: none, that of the LiDAR scan of its time stamp, or that of the render before
    the distillation where Gaussians cover the pixel. It is 0 where nothing is known."""
    if kind == "none":
        return [None] * len(window.render)
    if kind == "render":
        return list(torch.where(window.eig.alpha > SURFACE_ALPHA, window.depth, 0.0))
    scans = [load_points_world(clip, time) for time in window.time_indices]
    return [lidar_depth(scan, at) if len(scan) else None for scan, at in zip(scans, window.cameras, strict=True)]


def distilled_share(
    scene: GaussianScene, window: Window, moving_objects: MovingObjects
) -> Float[Tensor, "t h w"] | Float[Tensor, ""]:
    """Returns what of every pixel is distilled: moving objects are left out, unless they are to be distilled too."""
    if moving_objects == "distil" or not scene.nodes:
        return torch.ones(())
    places = zip(window.cameras, window.time_indices, strict=True)
    return 1.0 - torch.stack([node_coverage(scene, camera, time).cpu() for camera, time in places])
