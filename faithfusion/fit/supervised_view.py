"""What one step of the fit sees: an image with a weight per pixel, LiDAR depth and a sky mask where there are any."""

from __future__ import annotations

import dataclasses
import functools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.data.images import load_blind_mask, load_image, load_sky_mask
from faithfusion.data.lidar import lidar_depth, load_points_world
from faithfusion.data.movers import uncarried_movers
from faithfusion.types import Camera, DriveClip, Frame

BYTES_PER_PIXEL = 4 * (3 + 1 + 1) + 1
"""Of a view in memory: colour, weight and depth as float32, one bool."""


@dataclass(frozen=True)
class SupervisedView:
    """A posed image to fit. `pixel_weight` multiplies every loss of a pixel; 0 leaves it out. `l1_weight`: takes its
    place in the L1 of the colours. `is_recorded`: taken by the recording vehicle, whose pose may be refined; a
    regenerated view is where it was asked for."""

    camera: Camera
    time_index: int
    image: Float[Tensor, "h w 3"]
    pixel_weight: Float[Tensor, "h w"]
    lidar_depth_m: Float[Tensor, "h w"] | None = None
    sky_mask: Bool[Tensor, "h w"] | None = None
    is_recorded: bool = False
    l1_weight: Float[Tensor, "h w"] | None = None


def load_view(clip: DriveClip, frame: Frame) -> SupervisedView:
    """A recorded frame. The ego vehicle and what the lens never saw count nothing, and neither do moving objects
    without a box, because no node could carry them."""
    weight = torch.ones(frame.camera.height, frame.camera.width)
    for mask in (load_blind_mask(frame), uncarried_movers(clip, frame)):
        if mask is not None:
            weight = weight * ~mask
    points = load_points_world(clip, frame.time_index)
    depth = lidar_depth(points, frame.camera) if len(points) else None
    image, sky = load_image(frame), load_sky_mask(frame)
    return SupervisedView(frame.camera, frame.time_index, image, weight, depth, sky, is_recorded=True)


def halve_view(view: SupervisedView) -> SupervisedView:
    """The same view at half the resolution; an odd last row or column is dropped."""
    height, width = view.camera.height // 2, view.camera.width // 2

    def blocks(image: Tensor) -> Tensor:
        cropped = image[: 2 * height, : 2 * width]
        return cropped.reshape(height, 2, width, 2, *image.shape[2:]).transpose(1, 2).flatten(2, 3)

    camera = view.camera.resized(width, height, scale=(0.5, 0.5))
    depth = view.lidar_depth_m
    if depth is not None:
        nearest = torch.where(depth > 0, depth, torch.inf)
        nearest = blocks(nearest).amin(2)
        depth = torch.where(torch.isfinite(nearest), nearest, 0.0)
    sky = None if view.sky_mask is None else blocks(view.sky_mask).all(2)
    weight = blocks(view.pixel_weight).amin(2)
    l1_weight = None if view.l1_weight is None else blocks(view.l1_weight).amin(2)
    weights = {"pixel_weight": weight, "l1_weight": l1_weight}
    image = blocks(view.image).mean(2)
    return dataclasses.replace(view, camera=camera, image=image, lidar_depth_m=depth, sky_mask=sky, **weights)


class ViewLoader:
    """Views of training frames by index, read from disk when they are asked for: a long drive is a stream, of which
    the most recent `cache_mb` megabytes stay in memory."""

    def __init__(self, clip: DriveClip, frames: Sequence[Frame], *, cache_mb: int = 256) -> None:
        self.clip, self.frames = clip, tuple(frames)
        pixels = max((frame.camera.width * frame.camera.height for frame in frames), default=1)
        max_kept = max(2, cache_mb * 1_000_000 // (pixels * BYTES_PER_PIXEL))

        @functools.lru_cache(maxsize=max_kept)
        def load(index: int, half: bool) -> SupervisedView:
            full = load_view(clip, self.frames[index])
            return halve_view(full) if half else full

        self._load = load

    def __len__(self) -> int:
        return len(self.frames)

    def view(self, index: int, *, half: bool = False) -> SupervisedView:
        """The view of one frame, at half the resolution if asked for."""
        return self._load(index, half)

    def stream(self, requests: Iterable[tuple[int, bool]], *, num_ahead: int = 0) -> Iterator[SupervisedView]:
        """The views of (index, half) requests in order, `num_ahead` of them read by other threads while the caller
        works; an error of a reader is raised at its turn."""
        if num_ahead < 1:
            yield from (self._load(index, half) for index, half in requests)
            return
        with ThreadPoolExecutor(num_ahead, thread_name_prefix="view reader") as pool:
            pending: deque[Future[SupervisedView]] = deque()
            try:
                for index, half in requests:
                    pending.append(pool.submit(self._load, index, half))
                    if len(pending) > num_ahead:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()


def to_device(view: SupervisedView, device: torch.device | str) -> SupervisedView:
    """The same view with its tensors on `device`."""
    tensors = {
        name: None if getattr(view, name) is None else getattr(view, name).to(device)
        for name in ("image", "pixel_weight", "l1_weight", "lidar_depth_m", "sky_mask")
    }
    return dataclasses.replace(view, camera=view.camera.to(device), **tensors)
