"""Which true views a window gets: those of the fitted ones that see most of what it shows, from nearby."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.clips.windows import Span
from faithfusion.data.images import load_image
from faithfusion.render.reproject import seen_by
from faithfusion.types import Camera, Frame, Window
from faithfusion.window.framing import COVERED_ALPHA, framed_to

POINTS_PER_SIDE = 16
DISTANCE_OF_UNSEEN_M = 20.0
"""Where nothing was rendered, a pixel is taken to lie so far away."""
METRES_PER_OVERLAP = 30.0
"""So far away a view that shows everything is worth as much as one in place that shows nothing."""
METRES_PER_TIME_STAMP = 0.1
"""What moved since, and views of a vehicle that stands still."""


def choose_references(window: Window, span: Span, candidates: Sequence[Frame], count: int) -> tuple[int, ...]:
    """Indices of `count` candidates for the frames of `span`: anchors spread over the span take the best in turn.

    A candidate is taken twice only if there are too few.
    """
    chosen: list[int] = []
    for anchor in anchor_frames(span, count):
        camera, time = window.cameras[anchor], window.time_indices[anchor]
        points = visible_points(window.depth[anchor], window.eig.alpha[anchor], camera)
        costs = [reference_cost(points, camera, time, frame) for frame in candidates]
        free = [index for index in range(len(candidates)) if index not in chosen] or range(len(candidates))
        chosen.append(min(free, key=costs.__getitem__))
    return tuple(chosen)


def anchor_frames(span: Span, count: int) -> list[int]:
    """`count` frames from the first of the span to its last; the middle one if there is one anchor only."""
    if count == 1:
        return [(span.start + span.stop - 1) // 2]
    return torch.linspace(span.start, span.stop - 1, count).round().long().tolist()


def reference_cost(points: Float[Tensor, "p 3"], camera: Camera, time: int, candidate: Frame) -> float:
    """What is to be small, in metres: distance of the centres, share of the points that the candidate does not see,
    time between."""
    apart_m = float((camera.world_from_camera[:3, 3] - candidate.camera.world_from_camera[:3, 3]).norm())
    unseen = 1.0 - float(seen_by([candidate.camera], points).float().mean())
    later = abs(time - candidate.time_index)
    return apart_m + METRES_PER_OVERLAP * unseen + METRES_PER_TIME_STAMP * later


def visible_points(depth_m: Float[Tensor, "h w"], alpha: Float[Tensor, "h w"], camera: Camera) -> Float[Tensor, "p 3"]:
    """World points of a grid of pixels at their rendered depth."""
    height, width = depth_m.shape
    rows = ((torch.arange(POINTS_PER_SIDE) + 0.5) / POINTS_PER_SIDE * height).long()
    columns = ((torch.arange(POINTS_PER_SIDE) + 0.5) / POINTS_PER_SIDE * width).long()
    v, u = (index.flatten() for index in torch.meshgrid(rows, columns, indexing="ij"))
    depth = torch.where(alpha[v, u] > COVERED_ALPHA, depth_m[v, u], DISTANCE_OF_UNSEEN_M).clamp_min(0.1)
    pixels = torch.stack([u + 0.5, v + 0.5, torch.ones(len(u))], dim=-1)
    local = pixels @ torch.linalg.inv(camera.intrinsics.cpu()).T * depth[:, None]
    pose = camera.world_from_camera.cpu()
    return local @ pose[:3, :3].T + pose[:3, 3]


def load_references(
    frames: Sequence[Frame], downscale: int, size: tuple[int, int]
) -> tuple[Float[Tensor, "r h w 3"], tuple[Camera, ...]]:
    """The pictures of frames at the window's own scale and size (height, width), and their cameras."""
    framings = [framed_to(frame.camera, downscale, *size) for frame in frames]
    images = [framing.image(load_image(frame)) for framing, frame in zip(framings, frames, strict=True)]
    cameras = tuple(framing.camera(frame.camera) for framing, frame in zip(framings, frames, strict=True))
    return torch.stack(images), cameras
