"""What the clips of a run are compared with: on its new path, and at recorded cameras that no fit has seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.data.images import load_blind_mask, load_image
from faithfusion.evaluate.ablation.row_scores import make_target
from faithfusion.evaluate.benchmark.columns import Frames
from faithfusion.evaluate.benchmark.frames import References, found_frames
from faithfusion.evaluate.benchmark.nets import Nets
from faithfusion.evaluate.driving.drive_references import drive_agents, drive_road_lines, require_labels
from faithfusion.evaluate.driving.lane_references import lane_reference
from faithfusion.evaluate.metrics.perceptual import stage_features
from faithfusion.evaluate.metrics.scored_clip import Target
from faithfusion.evaluate.report.run_views import RunViews
from faithfusion.pipeline.refine import RefineRun
from faithfusion.render.render_view import render_view
from faithfusion.types import DriveClip, Frame, GaussianScene
from faithfusion.utils.errors import InputError
from faithfusion.utils.image_math import psnr_db, ssim_map
from faithfusion.utils.mobilenet import feature_distance


@dataclass(frozen=True)
class Place:
    """A path beside a drive: what its clips are compared with, and where vehicles and lines must be."""

    target: Target
    references: References


def has_labels(clip: DriveClip) -> bool:
    """Whether NTA-IoU has references: see `require_labels`."""
    try:
        require_labels(clip)
    except InputError:
        return False
    return True


def new_path(run: RefineRun, views: RunViews, nets: Nets) -> Place:
    """The path of a run. Truth, true depth and what moves are known on procedural streets alone; elsewhere the depth is
    that of the unrefined render."""
    window = run.unrefined.window
    if views.truth is None:
        region = views.region
        target = Target(window.cameras, views.depth, views.eig.eig_nats, region, render=window.render)
    else:
        at = (run.clip, run.camera_name, run.path.shift_m, window)
        target = make_target(*at, views.regenerate_rms, nets.mobilenet)
    return Place(target, _references(run, target, nets))


def _references(run: RefineRun, target: Target, nets: Nets) -> References:
    clip, agents, lanes = run.clip, None, None
    views = list(zip(target.cameras, target.depth_m, strict=True))
    if nets.detector is not None and has_labels(clip):
        agents = [drive_agents(clip, clip.frame(t, run.camera_name), *view) for t, view in enumerate(views)]
    lines = drive_road_lines(clip) if nets.lane_net is not None else None
    if lines is not None:
        lanes = [lane_reference(lines.at(t), *view) for t, view in enumerate(views)]
    return References(agents, lanes)


@dataclass(frozen=True)
class OtherCameras:
    """Frames of recorded cameras that no fit has seen, with their pictures; vehicles in them, if there are boxes."""

    frames: Sequence[Frame]
    images: Sequence[Float[Tensor, "_ _ 3"]]
    references: References


def other_cameras(run: RefineRun, nets: Nets) -> OtherCameras:
    """Reads the pictures; the depth of the unrefined scene says what is hidden."""
    frames, agents = run.other_cameras, None
    if nets.detector is not None and has_labels(run.clip):
        depths = (render_view(run.before, frame.camera, frame.time_index).depth.detach().cpu() for frame in frames)
        agents = [
            drive_agents(run.clip, frame, frame.camera, depth) for frame, depth in zip(frames, depths, strict=True)
        ]
    return OtherCameras(frames, [load_image(frame) for frame in frames], References(agents))


@torch.no_grad()
def other_camera_frames(others: OtherCameras, scene: GaussianScene | None, nets: Nets) -> Frames:
    """What is measured of a scene from those cameras; without a scene, what the networks find in the pictures.

    PSNR leaves out the ego vehicle and what the lens never saw.
    """
    if scene is None:
        return found_frames(others.images, others.references, nets)
    views = [render_view(scene, frame.camera, frame.time_index).color.clamp(0, 1).cpu() for frame in others.frames]
    rows = [_beside(*row, nets) for row in zip(views, others.images, others.frames, strict=True)]
    return _columns(rows) | found_frames(views, others.references, nets)


def _beside(view: Float[Tensor, "h w 3"], image: Float[Tensor, "h w 3"], frame: Frame, nets: Nets) -> dict[str, float]:
    blind = load_blind_mask(frame)
    row = {
        "psnr_db": psnr_db(view, image, None if blind is None else ~blind),
        "ssim": float(ssim_map(view, image).mean()),
    }
    if nets.mobilenet is not None:
        pair = (stage_features(nets.mobilenet, picture[None]) for picture in (view, image))
        row["mobilenet_distance"] = float(feature_distance(*pair))
    return row


def _columns(rows: Iterable[Mapping[str, float]]) -> Frames:
    kept = list(rows)
    return {name: [row[name] for row in kept] for name in (kept[0] if kept else ())}
