"""Seeds Gaussians where LiDAR does not reach: on facade tops, trees and the far background; and starts the sky."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.data.images import load_blind_mask, load_dynamic_mask, load_image, load_sky_mask
from faithfusion.data.lidar import lidar_depth, project_points
from faithfusion.scene.coloring import shrink
from faithfusion.scene.plane_sweep import choose_neighbours, points_along_rays, sweep_depths
from faithfusion.scene.pointcloud import PointCloud, points_at
from faithfusion.scene.sky import ray_directions, sky_coordinates
from faithfusion.types import Frame, RigidNode, Sky

CELL_PX = 8
"""Cells of this size that no LiDAR point of any scan falls into count as not covered."""
NEAR_M, FAR_M = 10.0, 300.0
"""Depths in this range are tried, spread uniformly in inverse depth."""
NUM_DEPTHS = 14
"""So many depths are tried per pixel, and that of the topmost return in its column: facades and trunks are vertical."""
FREE_SPACE_RATIO = 0.85
"""A seed nearer than this share of the LiDAR depth in the same cell of any frame hangs in free space."""


@dataclass(frozen=True)
class Seeds:
    """Points along image rays, with their colour and the distance between neighbouring seeds."""

    points: Float[Tensor, "n 3"]
    colors: Float[Tensor, "n 3"]
    spacing_m: Float[Tensor, " n"]


def seed_uncovered(
    cloud: PointCloud,
    nodes: tuple[RigidNode, ...],
    frames: Sequence[Frame],
    train_frames: Sequence[Frame],
    num_seeds: int,
    generator: torch.Generator,
) -> Seeds:
    """At most `num_seeds` points on rays of `frames` through pixels that are neither sky nor covered by LiDAR.

    Their depth is the one at which neighbouring training frames agree best (plane sweep). Points that would hang in
    front of LiDAR returns in other frames, or in their sky, are dropped. With an empty cloud all pixels are seeded.
    """
    per_frame = -(-num_seeds * 3 // (2 * max(len(frames), 1)))  # half as many again, for those that are dropped
    parts = [_seed_frame(cloud, nodes, frame, train_frames, per_frame, generator) for frame in frames]
    seeds = Seeds(*(torch.cat(column) for column in zip(*parts, strict=True)))
    free = torch.zeros(len(seeds.points), dtype=torch.bool)
    for frame in frames:
        free |= _in_free_space(seeds.points, _covered_depth(cloud, nodes, frame), frame)
    kept = torch.nonzero(~free).squeeze(1)
    chosen = kept[torch.randperm(len(kept), generator=generator)[:num_seeds]]
    return Seeds(seeds.points[chosen], seeds.colors[chosen], seeds.spacing_m[chosen])


def _seed_frame(
    cloud: PointCloud,
    nodes: tuple[RigidNode, ...],
    frame: Frame,
    train_frames: Sequence[Frame],
    num: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    depth_cells = _covered_depth(cloud, nodes, frame)
    candidates = _enlarge(depth_cells == 0, frame)
    for mask in (load_sky_mask(frame), load_dynamic_mask(frame), load_blind_mask(frame)):
        if mask is not None:
            candidates = candidates & ~mask
    pixels = torch.nonzero(candidates)
    if len(pixels) == 0:
        return torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0)
    num = min(num, len(pixels))
    row, column = pixels[torch.randint(len(pixels), (num,), generator=generator)].unbind(-1)
    place = (torch.arange(NUM_DEPTHS) + torch.rand(num, 1, generator=generator)) / NUM_DEPTHS
    depths_m = 1.0 / (1.0 / NEAR_M + place * (1.0 / FAR_M - 1.0 / NEAR_M))
    hint_m = _topmost_depth(depth_cells)[column // CELL_PX]
    hint_m = torch.where(hint_m > 0, hint_m, depths_m[:, -1])
    depths_m = torch.cat([hint_m[:, None], depths_m], dim=1)
    depth_m, _ = sweep_depths(frame, choose_neighbours(frame, train_frames), row, column, depths_m)
    points = points_along_rays(frame.camera, row, column, depth_m)
    spacing_px = math.sqrt(len(pixels) / num)
    return points, load_image(frame)[row, column], depth_m * spacing_px / frame.camera.intrinsics[0, 0]


def _in_free_space(
    points: Float[Tensor, "n 3"], depth_cells: Float[Tensor, "hc wc"], frame: Frame
) -> Bool[Tensor, " n"]:
    """Which points lie in front of LiDAR returns, or in front of the sky, of one frame."""
    uv, depth, inside = project_points(points, frame.camera)
    column, row = torch.where(inside[:, None], uv, 0.0).long().unbind(-1)
    free = depth < FREE_SPACE_RATIO * depth_cells[row // CELL_PX, column // CELL_PX]
    sky = load_sky_mask(frame)
    return inside & (free if sky is None else free | sky[row, column])


def _covered_depth(cloud: PointCloud, nodes: tuple[RigidNode, ...], frame: Frame) -> Float[Tensor, "hc wc"]:
    world, exists = points_at(cloud, nodes, frame.time_index)
    return lidar_depth(world[exists], shrink(frame.camera, CELL_PX))


def _topmost_depth(depth_cells: Float[Tensor, "hc wc"]) -> Float[Tensor, " wc"]:
    """Depth of the highest covered cell of every column, 0 where there is none."""
    top = (depth_cells > 0).int().argmax(0)
    return depth_cells[top, torch.arange(depth_cells.shape[1])]


def _enlarge(cells: Bool[Tensor, "hc wc"], frame: Frame) -> Bool[Tensor, "h w"]:
    full = cells.repeat_interleave(CELL_PX, 0).repeat_interleave(CELL_PX, 1)
    return full[: frame.camera.height, : frame.camera.width]


def initial_sky(
    cloud: PointCloud, nodes: tuple[RigidNode, ...], frames: Sequence[Frame], height: int, width: int
) -> Sky:
    """Mean colour of the sky's pixels per texel; texels nobody saw get the mean of their row, else of all.

    Without a sky mask: the pixels above the topmost LiDAR return of their column, where any sky must be.
    """
    total = torch.zeros(height * width, 3)
    count = torch.zeros(height * width)
    for frame in frames:
        mask = load_sky_mask(frame)
        mask = _above_returns(cloud, nodes, frame) if mask is None else mask
        blind = load_blind_mask(frame)
        mask = mask if blind is None else mask & ~blind
        column, row = sky_coordinates(ray_directions(frame.camera)[mask], height, width).long().unbind(-1)
        texel = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        total.index_add_(0, texel, load_image(frame)[mask])
        count.index_add_(0, texel, torch.ones(len(texel)))
    total, count = total.reshape(height, width, 3), count.reshape(height, width, 1)
    overall = total.sum((0, 1)) / count.sum().clamp_min(1.0) if count.any() else torch.full((3,), 0.5)
    in_row = count.sum(1, keepdim=True)
    row_mean = torch.where(in_row > 0, total.sum(1, keepdim=True) / in_row.clamp_min(1.0), overall)
    return Sky(torch.where(count > 0, total / count.clamp_min(1.0), row_mean))


def _above_returns(cloud: PointCloud, nodes: tuple[RigidNode, ...], frame: Frame) -> Bool[Tensor, "h w"]:
    covered = _covered_depth(cloud, nodes, frame) > 0
    return _enlarge(covered.int().cumsum(0) == 0, frame)
