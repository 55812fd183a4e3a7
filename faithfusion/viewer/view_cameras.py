"""Makes the camera that draws a view's state, and shows recorded pixels in that camera."""

from __future__ import annotations

import dataclasses
import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from faithfusion.data.images import load_image
from faithfusion.data.trajectories import shift_camera
from faithfusion.street.truth import load_truth, truth_paths
from faithfusion.types import Camera, DriveClip
from faithfusion.viewer.state import ViewState

SURROUND = 0.1
"""Grey around a recorded image that does not fill the canvas."""


def view_camera(clip: DriveClip, state: ViewState, width: int) -> Camera:
    """The camera of a state with pictures `width` pixels wide and of the canvas's aspect ratio.

    The browser draws frusta and boxes with the optical axis through the canvas's centre and square pixels, so this
    camera does too: of a ridden camera it shows the whole field of view, wherever its own principal point is.
    """
    canvas = _free_camera(state) if state.free is not None else surround(ridden_camera(clip, state), state.canvas)
    return canvas.resized(width, max(1, round(width * state.canvas[1] / state.canvas[0])))


def ridden_camera(clip: DriveClip, state: ViewState) -> Camera:
    """The recorded camera at the state's time stamp, shifted."""
    frame = clip.frame(state.time_index, state.camera_name)
    return shift_camera(frame.camera, clip.world_from_ego[state.time_index], state.shift_m)


def surround(camera: Camera, canvas: tuple[int, int]) -> Camera:
    """The narrowest camera at the same pose that has a canvas's shape and shows all that `camera` shows.

    If the shapes agree and the principal point is central, it is `camera` itself at another resolution.
    """
    width, height = canvas
    (fx, _, cx), (_, fy, cy) = camera.intrinsics[:2].tolist()
    reach_x, reach_y = max(cx, camera.width - cx) / fx, max(cy, camera.height - cy) / fy
    focal_px = min(0.5 * width / reach_x, 0.5 * height / reach_y)
    return dataclasses.replace(camera, intrinsics=_central(focal_px, width, height), width=width, height=height)


def _free_camera(state: ViewState) -> Camera:
    width, height = state.canvas
    focal_px = 0.5 * height / math.tan(0.5 * state.free.fov_rad)
    return Camera(_central(focal_px, width, height), state.free.pose(), width, height)


def _central(focal_px: float, width: int, height: int) -> Float[Tensor, "3 3"]:
    return torch.tensor([[focal_px, 0.0, 0.5 * width], [0.0, focal_px, 0.5 * height], [0.0, 0.0, 1.0]])


def vertical_fov_rad(camera: Camera) -> float:
    """Full vertical field of view of a camera with a central principal point."""
    return 2.0 * math.atan(0.5 * camera.height / float(camera.intrinsics[1, 1]))


def recorded_image(clip: DriveClip, state: ViewState) -> Float[Tensor, "h w 3"] | None:
    """What a real camera saw from the state's pose: the recorded image at shift 0, a procedural street's true view at
    its shifts; None elsewhere."""
    if state.free is not None:
        return None
    if abs(state.shift_m) < 1e-6:
        return load_image(clip.frame(state.time_index, state.camera_name))
    if truth_paths(clip.root, state.shift_m, state.camera_name, state.time_index)[0].is_file():
        return load_truth(clip.root, state.shift_m, state.camera_name, state.time_index).color
    return None


def seen_by(camera: Camera, source: Camera, image: Float[Tensor, "hs ws 3"]) -> Float[Tensor, "h w 3"]:
    """`image` of `source`, looked at with `camera` from the same pose; SURROUND where it ends."""
    shrink = max(1, int(float(source.intrinsics[0, 0] / camera.intrinsics[0, 0])))
    batch = rearrange(image, "h w c -> 1 c h w") - SURROUND
    if shrink > 1:  # averaged first, or fine texture would alias
        batch = F.interpolate(batch, scale_factor=1.0 / shrink, mode="area")
    axes = []
    for axis, (pixels, source_pixels) in enumerate(((camera.width, source.width), (camera.height, source.height))):
        slopes = (torch.arange(pixels) + 0.5 - camera.intrinsics[axis, 2]) / camera.intrinsics[axis, axis]
        position = source.intrinsics[axis, axis] * slopes + source.intrinsics[axis, 2]
        axes.append(2.0 * position / source_pixels - 1.0)
    y, x = torch.meshgrid(axes[1], axes[0], indexing="ij")
    warped = F.grid_sample(batch, torch.stack([x, y], -1)[None], mode="bilinear", align_corners=False)
    return rearrange(warped, "1 c h w -> h w c") + SURROUND
