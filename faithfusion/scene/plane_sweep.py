"""Depth of single pixels by plane sweeping (Collins 1996): the depth at which neighbouring images agree best."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from faithfusion.data.images import load_image
from faithfusion.data.lidar import project_points
from faithfusion.scene.sky import ray_directions
from faithfusion.types import Camera, Frame

PATCH_OFFSETS_PX = (-3, 0, 3)
"""Rows and columns of the compared patch around the pixel."""
TIME_OFFSETS = (-6, -3, 3, 6)
"""Neighbours of a frame in time, in frames; those that are not training frames are skipped."""


def points_along_rays(
    camera: Camera, row: Int[Tensor, "*n"], column: Int[Tensor, "*n"], depth_m: Float[Tensor, "*n"]
) -> Float[Tensor, "*n 3"]:
    """World points at camera depth `depth_m` behind the centres of the given pixels."""
    rays = ray_directions(camera)[row, column]
    forward = camera.world_from_camera[:3, 2]
    return camera.world_from_camera[:3, 3] + rays * (depth_m / (rays @ forward))[..., None]


def choose_neighbours(frame: Frame, frames: Sequence[Frame]) -> list[Frame]:
    """Frames of the same camera at `TIME_OFFSETS`."""
    wanted = {frame.time_index + offset for offset in TIME_OFFSETS}
    return [other for other in frames if other.camera_name == frame.camera_name and other.time_index in wanted]


def sweep_depths(
    frame: Frame,
    neighbours: Sequence[Frame],
    row: Int[Tensor, " n"],
    column: Int[Tensor, " n"],
    candidates_m: Float[Tensor, "n k"],
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """(best of the candidate depths, its mean absolute colour difference) per pixel.

    A 3x3 patch at each candidate depth is compared with every neighbour that sees all of it; infinite cost, and the
    last candidate, where none does.
    """
    offsets = torch.tensor(PATCH_OFFSETS_PX)
    patch_row, patch_column = (grid.flatten() for grid in torch.meshgrid(offsets, offsets, indexing="ij"))
    rows = (row[:, None] + patch_row).clamp(0, frame.camera.height - 1)
    columns = (column[:, None] + patch_column).clamp(0, frame.camera.width - 1)
    colors = load_image(frame)[rows, columns]
    shape = (*candidates_m.shape, rows.shape[1])
    depths = candidates_m[:, :, None].expand(shape)
    points = points_along_rays(frame.camera, rows[:, None].expand(shape), columns[:, None].expand(shape), depths)
    total, count = torch.zeros(shape[:2]), torch.zeros(shape[:2])
    for neighbour in neighbours:
        seen, inside = _sample(load_image(neighbour), neighbour.camera, points)
        whole = inside.all(-1)
        total += (seen - colors[:, None]).abs().mean((-1, -2)).masked_fill(~whole, 0.0)
        count += whole
    cost = torch.where(count > 0, total / count.clamp_min(1.0), torch.inf)
    best_cost, best = cost.min(1)
    best = torch.where(torch.isfinite(best_cost), best, shape[1] - 1)
    return candidates_m.gather(1, best[:, None]).squeeze(1), best_cost


def _sample(image: Float[Tensor, "h w 3"], camera: Camera, points: Float[Tensor, "*n 3"]) -> tuple[Tensor, Tensor]:
    uv, _, inside = project_points(points.reshape(-1, 3), camera)
    grid = uv / torch.tensor([camera.width, camera.height]) * 2.0 - 1.0
    batch = rearrange(image, "h w c -> 1 c h w")
    colors = F.grid_sample(batch, grid[None, None], mode="bilinear", padding_mode="border", align_corners=False)
    return rearrange(colors, "1 c 1 n -> n c").reshape(points.shape), inside.reshape(points.shape[:-1])
