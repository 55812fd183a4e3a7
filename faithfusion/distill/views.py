"""What one step of the fit sees: an image with a weight per pixel, LiDAR depth and a sky mask where there are any."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.data.images import load_dynamic_mask, load_ego_mask, load_image, load_sky_mask
from faithfusion.data.lidar import lidar_depth, load_points_world
from faithfusion.types import Camera, DriveClip, Frame

BYTES_PER_PIXEL = 4 * (3 + 1 + 1) + 1
"""Of a view in memory: colour, weight and depth as float32, one bool."""


@dataclass(frozen=True)
class SupervisedView:
    """A posed image to fit. `pixel_weight` multiplies every loss of a pixel; 0 leaves it out."""

    camera: Camera
    time_index: int
    image: Float[Tensor, "h w 3"]
    pixel_weight: Float[Tensor, "h w"]
    lidar_depth_m: Float[Tensor, "h w"] | None = None
    sky_mask: Bool[Tensor, "h w"] | None = None


def load_view(clip: DriveClip, frame: Frame) -> SupervisedView:
    """A recorded frame. The ego vehicle counts nothing, and neither do moving objects of a clip without boxes, because
    no node could carry them."""
    weight = torch.ones(frame.camera.height, frame.camera.width)
    ego = load_ego_mask(frame)
    dynamic = None if clip.tracks else load_dynamic_mask(frame)
    for mask in (ego, dynamic):
        if mask is not None:
            weight = weight * ~mask
    points = load_points_world(clip, frame.time_index)
    depth = lidar_depth(points, frame.camera) if len(points) else None
    return SupervisedView(frame.camera, frame.time_index, load_image(frame), weight, depth, load_sky_mask(frame))


def halve_view(view: SupervisedView) -> SupervisedView:
    """The same view at half the resolution; an odd last row or column is dropped."""
    height, width = view.camera.height // 2, view.camera.width // 2

    def blocks(image: Tensor) -> Tensor:
        cropped = image[: 2 * height, : 2 * width]
        return cropped.reshape(height, 2, width, 2, *image.shape[2:]).transpose(1, 2).flatten(2, 3)

    scale = torch.tensor([0.5, 0.5, 1.0]).to(view.camera.intrinsics)
    camera = Camera(scale[:, None] * view.camera.intrinsics, view.camera.world_from_camera, width, height)
    depth = view.lidar_depth_m
    if depth is not None:
        nearest = torch.where(depth > 0, depth, torch.inf)
        nearest = blocks(nearest).amin(2)
        depth = torch.where(torch.isfinite(nearest), nearest, 0.0)
    sky = None if view.sky_mask is None else blocks(view.sky_mask).all(2)
    weight = blocks(view.pixel_weight).amin(2)
    return SupervisedView(camera, view.time_index, blocks(view.image).mean(2), weight, depth, sky)


class ViewLoader:
    """Views of training frames by index; the most recent ones stay in memory, `max_megabytes` of them."""

    def __init__(self, clip: DriveClip, frames: Sequence[Frame], *, max_megabytes: int = 4_000) -> None:
        self.frames = tuple(frames)
        pixels = max((frame.camera.width * frame.camera.height for frame in frames), default=1)
        max_kept = max(2, max_megabytes * 1_000_000 // (pixels * BYTES_PER_PIXEL))

        @functools.lru_cache(maxsize=max_kept)
        def load(index: int, half: bool) -> SupervisedView:
            return halve_view(load(index, False)) if half else load_view(clip, self.frames[index])

        self._load = load

    def __len__(self) -> int:
        return len(self.frames)

    def view(self, index: int, *, half: bool = False) -> SupervisedView:
        """The view of one frame, at half the resolution if asked for."""
        return self._load(index, half)


def to_device(view: SupervisedView, device: torch.device | str) -> SupervisedView:
    """The same view with its tensors on `device`."""
    depth = None if view.lidar_depth_m is None else view.lidar_depth_m.to(device)
    sky = None if view.sky_mask is None else view.sky_mask.to(device)
    image, weight = view.image.to(device), view.pixel_weight.to(device)
    return SupervisedView(view.camera.to(device), view.time_index, image, weight, depth, sky)
