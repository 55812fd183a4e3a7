"""Colours of points from the training images that see them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.data.images import load_blind_mask, load_image
from faithfusion.data.lidar import lidar_depth, project_points
from faithfusion.scene.pointcloud import PointCloud, points_at
from faithfusion.types import Camera, Frame, RigidNode

DEPTH_TOLERANCE = 0.05
"""A point is visible if it lies at most this fraction (and 0.2 m) behind the nearest point of its cell."""
CELL_PX = 4
"""Cell of the visibility test, pixels: about the gap between neighbouring points in the images."""


def color_points(
    cloud: PointCloud, nodes: tuple[RigidNode, ...], frames: Sequence[Frame]
) -> tuple[Float[Tensor, "n 3"], Bool[Tensor, " n"]]:
    """(mean colour over the frames that see each point, whether any does).

    Near views count more (weight 1 / depth^2). Visibility: z-buffer of the cloud itself in cells of 4 px.
    """
    total = torch.zeros(len(cloud.points), 3)
    weight = torch.zeros(len(cloud.points))
    for frame in frames:
        world, exists = points_at(cloud, nodes, frame.time_index)
        index = visible_points(world, exists, frame.camera)
        uv, depth, _ = project_points(world[index], frame.camera)
        column, row = uv.long().unbind(-1)
        seen_weight = depth.square().reciprocal()
        blind = load_blind_mask(frame)
        if blind is not None:
            seen_weight = seen_weight * ~blind[row, column]
        total.index_add_(0, index, load_image(frame)[row, column] * seen_weight[:, None])
        weight.index_add_(0, index, seen_weight)
    return total / weight.clamp_min(1e-12)[:, None], weight > 0


def visible_points(world: Float[Tensor, "n 3"], exists: Bool[Tensor, " n"], camera: Camera) -> Tensor:
    """Indices of the points in the image that no nearer point of the same cell hides."""
    uv, depth, inside = project_points(world, camera)
    index = torch.nonzero(inside & exists).squeeze(1)
    coarse = shrink(camera, CELL_PX)
    nearest = lidar_depth(world[index], coarse)
    column = (uv[index, 0] / CELL_PX).long().clamp_max(coarse.width - 1)
    row = (uv[index, 1] / CELL_PX).long().clamp_max(coarse.height - 1)
    limit = nearest[row, column] * (1.0 + DEPTH_TOLERANCE) + 0.2
    return index[depth[index] <= limit]


def shrink(camera: Camera, factor: int) -> Camera:
    """The same view with pixels `factor` times as large (rounded up, so that every old pixel lies in a new one)."""
    return camera.resized(-(-camera.width // factor), -(-camera.height // factor), scale=(1.0 / factor, 1.0 / factor))
