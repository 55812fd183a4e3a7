"""What stands on the pavement: lamp posts, traffic signs, trees, bins and bollards."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from faithfusion.street.meshes import Material, Patch, Surface, box, grid_patch, tube
from faithfusion.street.road import KERB_HEIGHT_M
from faithfusion.street.street_plan import S_START, Side, StreetPlan, in_ranges, numpy_stream
from faithfusion.street.vegetation import tree

FURNITURE_REACH_M, FURNITURE_WIDTH_M = 1.4, 1.1
STEEL = Surface(Material.PLAIN, (0.2, 0.21, 0.22))


def furniture_patches(plan: StreetPlan) -> list[Patch]:
    """Everything that stands on both pavements, never nearer to the driven path than the kerb."""
    return [patch for side in plan.sides for _, patches in _stations(plan, side) for patch in patches]


def furniture_places(plan: StreetPlan, side: Side) -> np.ndarray:
    """Where something stands on one pavement, metres of s; all of it within FURNITURE_REACH_M along the street, and
    across within FURNITURE_WIDTH_M of the kerb."""
    return np.array([s for s, patches in _stations(plan, side) if patches])


def _stations(plan: StreetPlan, side: Side) -> Iterator[tuple[float, list[Patch]]]:
    rng = numpy_stream(plan.seed, "furniture", side.sign)
    wooded = rng.random() < 0.75
    spacing = rng.uniform(9, 14)
    s = S_START + rng.uniform(2, 10)
    index = 0
    while s < plan.s_end - 5:
        if not in_ranges(s, side.side_streets, 2.0):
            yield s, _one(rng, plan, side, s, index, wooded)
            index += 1
        s += spacing * rng.uniform(0.8, 1.2)


def _one(rng: np.random.Generator, plan: StreetPlan, side: Side, s: float, index: int, wooded: bool) -> list[Patch]:
    lateral = side.sign * (side.kerb_m + 0.7)
    foot = plan.centreline.at(s, lateral, KERB_HEIGHT_M)
    to_road = plan.centreline.at(s, 0.0, KERB_HEIGHT_M) - foot
    to_road /= np.linalg.norm(to_road)
    heading = float(plan.centreline.heading(s)) + (np.pi if side.sign > 0 else 0.0)
    facing = -np.array([np.cos(heading), np.sin(heading), 0.0])  # towards those who drive on this side
    if index % 3 == 0:
        return lamp_post(foot, to_road)
    if wooded and index % 3 == 1:
        return tree(rng, foot, rng.uniform(6.5, 9.5))
    patches = []
    if rng.random() < 0.6:
        patches += traffic_sign(rng, foot, facing)
    if rng.random() < 0.5:
        patches += litter_bin(foot + 1.1 * facing)
    return patches


def lamp_post(foot: np.ndarray, to_road: np.ndarray) -> list[Patch]:
    """A 7 m post with an arm over the road side."""
    up = np.array([0.0, 0.0, 1.0])
    top = foot + 6.8 * up
    arm = np.stack([top, top + 0.35 * up + 0.5 * to_road, top + 0.45 * up + 1.6 * to_road])
    axes = np.stack([to_road, np.cross(up, to_road), up])
    head = Surface(Material.PLAIN, (0.55, 0.56, 0.55))
    return [
        tube(np.stack([foot, foot + 1.0 * up, foot + 1.05 * up, top]), (0.11, 0.11, 0.075, 0.06), STEEL),
        tube(arm, (0.05, 0.045, 0.04), STEEL, sides=6),
        *box(top + 0.42 * up + 1.75 * to_road, (0.35, 0.13, 0.06), axes, head),
    ]


def traffic_sign(rng: np.random.Generator, foot: np.ndarray, facing: np.ndarray) -> list[Patch]:
    """A post with a plate: 0 speed limit, 1 no stopping, 2 parking, 3 give way."""
    up = np.array([0.0, 0.0, 1.0])
    right = np.cross(up, facing)
    kind = int(rng.integers(4))
    radius = 0.36
    centre = foot + 2.5 * up + 0.05 * facing
    corners = {2: 4, 3: 3}.get(kind, 28)
    turn = np.pi / 4 if kind == 2 else (-np.pi / 2 if kind == 3 else 0.0)
    angle = np.linspace(0, 2 * np.pi, corners + 1) + turn
    flat = radius * np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], -1)
    coords = np.stack([np.zeros_like(flat), flat])
    patches = [tube(np.stack([foot, foot + 2.9 * up]), (0.035, 0.035), STEEL, sides=8)]
    for offset, surface in (
        (0.0, Surface(Material.SIGN, (0.8, 0.8, 0.8), (0.55, 0.03, 0.03), (float(kind), radius))),
        (-0.012, STEEL),
    ):
        points = centre + offset * facing + coords[..., :1] * right + coords[..., 1:2] * up
        patches.append(grid_patch(points, coords, surface))
    return patches


def litter_bin(foot: np.ndarray) -> list[Patch]:
    """A dark green bin with a lid."""
    up = np.array([0.0, 0.0, 1.0])
    levels = np.array([0.0, 0.02, 0.85, 0.87, 0.98, 0.985])
    path = foot + levels[:, None] * up
    return [tube(path, (0.01, 0.22, 0.26, 0.29, 0.26, 0.01), Surface(Material.PLAIN, (0.04, 0.09, 0.06)), sides=14)]
