"""Draws the picture of a state: a pure function that runs on whatever device the scene is on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.data.trajectories import distance_from_path_m
from faithfusion.eig.field import EigField
from faithfusion.render.render_view import render_view
from faithfusion.types import Camera, Rendering
from faithfusion.utils.media import to_uint8
from faithfusion.viewer.run_folder import Run, Version
from faithfusion.viewer.scales import SCALES, colorize
from faithfusion.viewer.state import NEEDS_POSTERIOR, RECORDED, ViewState
from faithfusion.viewer.view_cameras import recorded_image, ridden_camera, seen_by, view_camera

FAR_M = 1e4
"""Depth in metres that stands for pixels that are mostly sky."""
NO_SURFACE = 0.4
"""Grey of pixels without a surface in pictures of depth."""


@dataclass(frozen=True)
class Picture:
    """What the browser gets. `values`: the numbers behind the colours, in the scale's unit, or None; `note`: one line
    for the user."""

    image: np.ndarray  # uint8 [h, w, 3]
    depth_m: Float[Tensor, "h w"] | None
    values: Float[Tensor, "h w"] | None
    note: str


def draw(run: Run, state: ViewState, width: int, known: Mapping[str, EigField]) -> Picture:
    """The picture of `state`, `width` pixels wide.

    While the posterior of a version is not in `known`, its colours stand in for EIG. Raises InputError for a recorded
    image that cannot be read.
    """
    camera = view_camera(run.clip, state, width)
    if state.version == RECORDED:
        return _draw_recorded(run, state, camera)
    version, knows = run.versions[state.version], known.get(state.version)
    if state.quantity in NEEDS_POSTERIOR and knows is not None:
        return _draw_knowledge(version, knows, state, camera)
    with torch.no_grad():
        rendering = render_view(version.scene, camera.to(version.scene.gaussians.means.device), state.time_index)
    depth_m = solid_depth_m(rendering)
    if state.quantity == "depth":
        surface = (depth_m < FAR_M)[..., None]
        image = torch.where(surface, colorize(depth_m, SCALES["depth"]), NO_SURFACE)
        return Picture(to_uint8(image), depth_m, depth_m, f"median {_median_m(depth_m)}")
    note = "" if state.quantity == "colour" else "colours until the posterior is there"
    return Picture(to_uint8(rendering.color), depth_m, None, note)


def solid_depth_m(rendering: Rendering) -> Float[Tensor, "h w"]:
    """Expected depth along the optical axis, metres; FAR_M where more than half of a pixel is sky."""
    return torch.where(rendering.alpha > 0.5, rendering.depth, FAR_M).cpu()


def _draw_knowledge(version: Version, known: EigField, state: ViewState, camera: Camera) -> Picture:
    gain, rendering = known.map(camera, state.time_index)
    if state.quantity == "EIG":
        values, note = gain.eig_nats.cpu(), f"mean {float(gain.eig_nats.mean()):.2f} nats"
    else:
        distance_m = distance_from_path_m(version.fitted, camera)
        sq_error = known.calibration.expected_sq_error(gain.eig_nats, distance_m)
        values = sq_error.clamp_min(0.0).sqrt().cpu()
        note = f"RMS {float(sq_error.mean().sqrt()):.3f}, {distance_m:.1f} m from the recorded paths"
    image = to_uint8(colorize(values, SCALES[state.quantity]))
    return Picture(image, solid_depth_m(rendering), values, note)


def _draw_recorded(run: Run, state: ViewState, camera: Camera) -> Picture:
    image = recorded_image(run.clip, state)
    if image is None:
        blank = np.full((camera.height, camera.width, 3), 25, np.uint8)
        return Picture(blank, None, None, "no image was recorded here: ride along at shift 0")
    source = ridden_camera(run.clip, state)
    return Picture(to_uint8(seen_by(camera, source, image)), None, None, "as recorded" if not state.shift_m else "true")


def _median_m(depth_m: Float[Tensor, "h w"]) -> str:
    solid = depth_m[depth_m < FAR_M]
    return f"{float(solid.median()):.1f} m" if len(solid) else "sky"
