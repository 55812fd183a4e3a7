"""The ground as a height field over the world's x and y, from LiDAR.

Lane markings break first at a lateral shift: seen at grazing angles from one lane only, a Gaussian may float above the
road or stand upright and still look right from there. The ground is the one surface whose place is known without
images, so Gaussians near it start as discs in it and are held there (`fit.ground_loss`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt, median_filter
from torch import Tensor

CELL_M = 1.5
"""Size of the height field's cells: finer than a road's camber, coarser than the gap of LiDAR rings near the car."""
LOW_SHARE = 0.2
"""The ground of a cell is this quantile of its returns: below cars and bushes, above the noise's lower tail."""
MIN_POINTS = 4
MAX_STEP = 0.35
"""Steepest slope of drivable ground; cells that stand out more from their neighbourhood hold no ground."""


@dataclass(frozen=True)
class Ground:
    """Heights at the nodes of a regular grid; node (i, j) lies at origin_m + (i, j) * CELL_M in x and y.
    `known` says where returns support it."""

    origin_m: Float[Tensor, 2]
    heights_m: Float[Tensor, "nx ny"]
    known: Bool[Tensor, "nx ny"]

    def to(self, device: torch.device | str) -> Ground:
        """The same ground on another device."""
        return Ground(self.origin_m.to(device), self.heights_m.to(device), self.known.to(device))


def fit_ground(points_world: Float[Tensor, "n 3"]) -> Ground | None:
    """Height field of the lowest returns of every cell, median-filtered over 5 x 5 cells, holes filled from the nearest
    known cell; None without enough points."""
    if len(points_world) < 100:
        return None
    origin = points_world[:, :2].amin(0)
    cells = ((points_world[:, :2] - origin) / CELL_M).long()
    shape = (cells.amax(0) + 1).tolist()
    flat = cells[:, 0] * shape[1] + cells[:, 1]
    heights, counts = _low_quantile(flat, points_world[:, 2], shape[0] * shape[1])
    heights, known = heights.reshape(shape), (counts >= MIN_POINTS).reshape(shape)
    if not bool(known.any()):
        return None
    filled = _fill(heights, known)
    smooth = torch.from_numpy(median_filter(filled.numpy(), size=5, mode="nearest"))
    known = known & ((filled - smooth).abs() < MAX_STEP * CELL_M)
    smooth = _fill(torch.where(known, filled, 0.0), known) if bool(known.any()) else smooth
    smooth = F.avg_pool2d(F.pad(smooth[None, None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0, 0]
    return Ground(origin + 0.5 * CELL_M, smooth, known)


def ground_at(ground: Ground, points: Float[Tensor, "n 3"]) -> tuple[Tensor, Tensor, Tensor]:
    """(height above the ground [n] in metres, upward unit normal [n, 3], whether the ground is known there [n]).

    Bilinear between the nodes; the height is differentiable in the points' coordinates, the normal is not.
    """
    size = torch.tensor(ground.heights_m.shape, device=points.device)
    place = (points[:, :2] - ground.origin_m) / CELL_M
    inside = (place >= -0.5).all(-1) & (place <= size - 0.5).all(-1)
    low = place.detach().floor().long().clamp_min(0).minimum(size - 2).clamp_min(0)
    high = (low + 1).minimum(size - 1)
    fx, fy = (place - low).unbind(-1)
    h = ground.heights_m
    h00, h10 = h[low[:, 0], low[:, 1]], h[high[:, 0], low[:, 1]]
    h01, h11 = h[low[:, 0], high[:, 1]], h[high[:, 0], high[:, 1]]
    surface = h00 * (1 - fx) * (1 - fy) + h10 * fx * (1 - fy) + h01 * (1 - fx) * fy + h11 * fx * fy
    with torch.no_grad():
        slope_x = ((h10 - h00) * (1 - fy) + (h11 - h01) * fy) / CELL_M
        slope_y = ((h01 - h00) * (1 - fx) + (h11 - h10) * fx) / CELL_M
        normal = F.normalize(torch.stack([-slope_x, -slope_y, torch.ones_like(slope_x)], -1), dim=-1)
        nearest = place.round().long().clamp_min(0).minimum(size - 1)
        known = inside & ground.known[nearest[:, 0], nearest[:, 1]]
    return points[:, 2] - surface, normal, known


def _low_quantile(flat: Tensor, z: Tensor, num_cells: int) -> tuple[Tensor, Tensor]:
    """The `LOW_SHARE` quantile of z per cell and the number of points."""
    order = torch.argsort(z)
    order = order[torch.argsort(flat[order], stable=True)]
    counts = torch.bincount(flat, minlength=num_cells)
    starts = counts.cumsum(0) - counts
    rank = (LOW_SHARE * (counts - 1).clamp_min(0)).round().long()
    at = (starts + rank).clamp_max(len(z) - 1)
    return torch.where(counts > 0, z[order][at], 0.0), counts


def _fill(heights: Float[Tensor, "nx ny"], known: Bool[Tensor, "nx ny"]) -> Float[Tensor, "nx ny"]:
    index = distance_transform_edt(~known.numpy(), return_distances=False, return_indices=True)
    return heights[torch.from_numpy(index[0]).long(), torch.from_numpy(index[1]).long()]
