"""Road surface, kerbs, pavements, side streets, and the ground beyond."""

from __future__ import annotations

import numpy as np

from faithfusion.street.meshes import Material, Patch, Surface, grid_patch, quad
from faithfusion.street.street_plan import S_START, SHORTEST_S_END, Centreline, Side, StreetPlan

KERB_HEIGHT_M = 0.13
KERB_WIDTH_M = 0.18
SIDE_STREET_LENGTH_M = 45.0
STEP_M = 2.0


def road_patches(plan: StreetPlan) -> list[Patch]:
    """The carriageway, both pavements with kerbs, side streets, and the ground under everything."""
    line = plan.centreline
    left, right = plan.sides
    asphalt = Surface(Material.ASPHALT, (0.105, 0.105, 0.11), (0.62, 0.62, 0.6))
    patches = [_strip(line, S_START, plan.s_end, (-right.kerb_m, left.kerb_m), 0.0, asphalt)]
    for side in plan.sides:
        patches += _pavement(line, side, plan.s_end)
        for start, end in side.side_streets:
            patches.append(_strip(line, start, end, _ordered(side, side.kerb_m, SIDE_STREET_LENGTH_M), 0.0, asphalt))
    centre = line.at(0.5 * (S_START + plan.s_end), 0.0, -0.03)
    half = 400 + plan.s_end - SHORTEST_S_END
    ground = Surface(Material.GRASS, (0.12, 0.15, 0.06))
    patches.append(quad(centre - [half, half, 0], [2 * half, 0, 0], [0, 2 * half, 0], ground))
    return patches


def _ordered(side: Side, inner: float, outer: float) -> tuple[float, float]:
    low, high = sorted((side.sign * inner, side.sign * outer))
    return low, high


def _strip(
    line: Centreline, start: float, end: float, laterals: tuple[float, float], z: float, surface: Surface
) -> Patch:
    s = np.linspace(start, end, max(2, int((end - start) / STEP_M) + 1))
    grid_s, grid_l = np.meshgrid(s, np.asarray(laterals), indexing="ij")
    coords = np.stack([grid_s, grid_l, np.zeros_like(grid_s)], -1)
    return grid_patch(line.at(grid_s, grid_l, z), coords, surface)


def open_ranges(side: Side, end: float) -> list[tuple[float, float]]:
    """Ranges of s between the side streets of one side, in a street that ends at `end`."""
    edges = [S_START]
    for a, b in side.side_streets:
        edges += [a, b]
    edges.append(end)
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]


def _pavement(line: Centreline, side: Side, s_end: float) -> list[Patch]:
    slabs = Surface(Material.PAVEMENT, (0.36, 0.345, 0.32))
    stone = Surface(Material.PAVEMENT, (0.42, 0.41, 0.4), params=(1.0,))
    kerb, inner, outer = side.kerb_m, side.kerb_m + KERB_WIDTH_M, side.facade_m + 0.8
    patches = []
    for start, end in open_ranges(side, s_end):
        patches.append(_strip(line, start, end, _ordered(side, inner, outer), KERB_HEIGHT_M, slabs))
        patches.append(_strip(line, start, end, _ordered(side, kerb, inner), KERB_HEIGHT_M, stone))
        s = np.linspace(start, end, max(2, int((end - start) / STEP_M) + 1))
        grid_s, grid_z = np.meshgrid(s, np.array([0.0, KERB_HEIGHT_M]), indexing="ij")
        coords = np.stack([grid_s, grid_z, np.zeros_like(grid_s)], -1)
        patches.append(grid_patch(line.at(grid_s, side.sign * kerb, grid_z), coords, stone))
        for s_cap in (start, end):
            corner = line.at(s_cap, side.sign * kerb, 0.0)
            across = line.at(s_cap, side.sign * outer, 0.0) - corner
            patches.append(quad(corner, across, (0, 0, KERB_HEIGHT_M), stone))
    return patches
