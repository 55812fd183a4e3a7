"""One frame of a window on the synthetic street: render, EIG, expected error, and what recorded views show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch

from faithfusion.eig.field import EigField
from faithfusion.render.render_view import render_view
from faithfusion.types import Camera, DriveClip, Frame, Window
from faithfusion.utils.progress import report_progress
from faithfusion.window.warp import RecordedView, WarpSource, warped_views
from faithfusion.window.warp_config import WarpConfig

BESIDE_M, APART_M = 3.0, 1.0
"""The new view is so far beside the recorded ones, which are so far apart."""


class DrawnSource(WarpSource):
    """Recorded views that are drawn instead of read."""

    def _read(self, clip: DriveClip, frame: Frame, downscale: int) -> RecordedView:
        device = self.scene.gaussians.means.device
        with torch.no_grad():
            drawn = render_view(self.scene, frame.camera.to(device), frame.time_index)
        seen = torch.ones(frame.camera.height, frame.camera.width, dtype=torch.bool)
        return RecordedView(frame.camera, drawn.color.clamp(0.0, 1.0).cpu(), seen, drawn.depth.cpu())


def window_frame(known: EigField, recorded: Camera) -> Callable[[], object]:
    """The work of one frame beside the path of `recorded`, which looks along +z; the recorded views are at hand, as
    they are for all but the first frames of a clip."""
    config = WarpConfig()
    recorded = recorded.to("cpu")
    frames = tuple(
        Frame(0, "0", _moved(recorded, APART_M * number, 2), Path()) for number in range(config.num_candidates)
    )
    clip = DriveClip("street", Path(), 1, ("0",), frames, torch.eye(4)[None], (None,), (), ())
    source, camera = DrawnSource(known.scene, clip, frames, None, config), _moved(recorded, -BESIDE_M, 0)

    def work() -> None:
        with report_progress(lambda *_: None), torch.no_grad():
            eig, color, depth = known.volume([camera], [0], [BESIDE_M])
            window = Window(color, eig, depth, color[:0], torch.zeros(1).bool(), (camera,), (0,))
            warped_views(source, window)

    return work


def _moved(camera: Camera, metres: float, axis: int) -> Camera:
    pose = camera.world_from_camera.clone()
    pose[axis, 3] += metres
    return dataclasses.replace(camera, world_from_camera=pose)
