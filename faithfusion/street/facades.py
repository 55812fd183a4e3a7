"""Buildings: walls with recessed windows, doors, shop fronts, balconies, cornices and roofs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from faithfusion.street.meshes import Color, Material, Patch, Surface, box, grid_patch, quad, quads
from faithfusion.street.road import SIDE_STREET_LENGTH_M, open_ranges
from faithfusion.street.street_plan import S_START, Side, StreetPlan, numpy_stream

WALL_COLORS: tuple[Color, ...] = (
    (0.52, 0.46, 0.36), (0.55, 0.51, 0.45), (0.33, 0.15, 0.11), (0.38, 0.22, 0.15), (0.6, 0.58, 0.55),
    (0.46, 0.36, 0.22), (0.33, 0.36, 0.38), (0.42, 0.28, 0.22), (0.36, 0.38, 0.31), (0.55, 0.46, 0.3),
    (0.28, 0.26, 0.25), (0.48, 0.4, 0.36),
)  # fmt: skip
TRIMS: tuple[Color, ...] = ((0.75, 0.74, 0.7), (0.5, 0.48, 0.45), (0.14, 0.13, 0.13), (0.3, 0.2, 0.13))
BRIGHT: tuple[Color, ...] = (
    (0.34, 0.06, 0.05), (0.05, 0.12, 0.25), (0.05, 0.17, 0.09), (0.45, 0.3, 0.08), (0.08, 0.08, 0.09),
    (0.25, 0.09, 0.13),
)  # fmt: skip
WALL_STYLES = 3  # plaster, brick, stone courses


@dataclass(frozen=True)
class Facade:
    """A wall rectangle and how it is divided; `right`, `outward` are unit vectors, `origin` the lower left corner."""

    origin: np.ndarray
    right: np.ndarray
    outward: np.ndarray
    width: float
    num_floors: int
    floor_m: float
    ground_m: float
    bay_m: float
    window: tuple[float, float]  # width, height
    wall: Surface
    trim: Surface
    is_shop: bool
    has_balconies: bool

    @property
    def height(self) -> float:
        """Wall height in metres."""
        return self.ground_m + self.num_floors * self.floor_m


def building_patches(plan: StreetPlan) -> list[Patch]:
    """Rows of buildings on both sides, and the rows that close the side streets and the street's two ends."""
    patches: list[Patch] = []
    line = plan.centreline
    for side in plan.sides:
        rng = numpy_stream(plan.seed, "buildings", side.sign)
        for start, end in open_ranges(side, plan.s_end):
            s = start
            while s < end - 3:
                width = min(rng.uniform(9, 19), end - s)
                width = end - s if end - s - width < 8 else width
                lateral = side.sign * (side.facade_m + rng.choice([0.0, 0.0, 0.35, 0.7]))
                first, last = line.at(s, lateral), line.at(s + width, lateral)
                patches += building(rng, first, last, depth=rng.uniform(10, 14), left_of_road=side.sign > 0)
                s += width
        patches += _back_row(plan, side, rng)
    rng = numpy_stream(plan.seed, "ends")
    for s_end in (plan.s_end + 12, S_START - 12):
        laterals = np.arange(-60.0, 61.0, 15.0)
        for low, high in zip(laterals[:-1], laterals[1:], strict=True):
            near, far = line.at(s_end, low), line.at(s_end, high)
            ends = (near, far) if s_end > 0 else (far, near)  # both rows face the street
            patches += building(rng, ends[0], ends[1], depth=12.0, left_of_road=False)
    return patches


def _back_row(plan: StreetPlan, side: Side, rng: np.random.Generator) -> list[Patch]:
    patches = []
    for start, end in side.side_streets:
        lateral = side.sign * SIDE_STREET_LENGTH_M
        for low, high in ((start - 16, start - 2), (start - 2, end + 4), (end + 4, end + 18)):
            first, last = plan.centreline.at(low, lateral), plan.centreline.at(high, lateral)
            patches += building(rng, first, last, depth=10.0, left_of_road=side.sign > 0)
    return patches


def building(
    rng: np.random.Generator, first: np.ndarray, last: np.ndarray, *, depth: float, left_of_road: bool
) -> list[Patch]:
    """One building whose front runs between two ground points; it lies to the left of first -> last if asked."""
    along = last - first
    width = float(np.linalg.norm(along))
    along = along / width
    left = np.array([-along[1], along[0], 0.0])
    outward = -left if left_of_road else left
    right, origin = (along, first) if left_of_road else (-along, last)
    facade = _design(rng, origin, right, outward, width)
    patches = front(facade, rng)
    patches += _sides_and_roof(facade, depth, rng)
    return patches


def _design(
    rng: np.random.Generator, origin: np.ndarray, right: np.ndarray, outward: np.ndarray, width: float
) -> Facade:
    color = WALL_COLORS[rng.integers(len(WALL_COLORS))]
    style = int(rng.integers(WALL_STYLES)) if color[0] < 0.5 else int(rng.choice([0, 0, 2]))
    wall = Surface(Material.WALL, color, tuple(0.55 * c + 0.06 for c in color), (style, float(rng.integers(1000))))
    trim = Surface(Material.PLAIN, TRIMS[rng.integers(len(TRIMS))])
    window = (rng.uniform(0.95, 1.7), rng.uniform(1.4, 1.9))
    return Facade(
        origin, right, outward, width,
        num_floors=int(rng.integers(2, 6)), floor_m=rng.uniform(2.9, 3.4), ground_m=rng.uniform(3.4, 4.2),
        bay_m=window[0] + rng.uniform(0.9, 1.7), window=window, wall=wall, trim=trim,
        is_shop=bool(rng.random() < 0.45), has_balconies=bool(rng.random() < 0.4),
    )  # fmt: skip


def front(facade: Facade, rng: np.random.Generator) -> list[Patch]:
    """The street wall with everything on it."""
    bays = max(1, int((facade.width - 0.6) / facade.bay_m))
    margin = 0.5 * (facade.width - bays * facade.bay_m)
    lefts = margin + facade.bay_m * np.arange(bays) + 0.5 * (facade.bay_m - facade.window[0])
    sills = facade.ground_m + facade.floor_m * np.arange(facade.num_floors) + 0.85
    patches = _pierced(facade, lefts, facade.window[0], sills, facade.window[1], facade.ground_m, rng)
    ledge = [box(_at(facade, left + facade.window[0] / 2, sill - 0.05, 0.06), (facade.window[0] / 2 + 0.1, 0.1, 0.05),
                 _axes(facade), facade.trim) for left in lefts for sill in sills]  # fmt: skip
    patches += [patch for patches_of in ledge for patch in patches_of]
    patches += _shop_front(facade, rng) if facade.is_shop else _house_front(facade, lefts, rng)
    if facade.has_balconies:
        patches += _balconies(facade, lefts, rng)
    for height, out, thick in ((facade.height - 0.12, 0.3, 0.18), (facade.ground_m - 0.1, 0.1, 0.1)):
        patches += box(_at(facade, facade.width / 2, height, out / 2), (facade.width / 2, out / 2, thick),
                       _axes(facade), facade.trim)  # fmt: skip
    return patches


def _axes(facade: Facade) -> np.ndarray:
    return np.stack([facade.right, facade.outward, np.array([0.0, 0.0, 1.0])])


def _at(facade: Facade, u: float, v: float, out: float = 0.0) -> np.ndarray:
    return facade.origin + u * facade.right + out * facade.outward + np.array([0.0, 0.0, v])


def _pierced(
    facade: Facade, lefts: np.ndarray, width: float, sills: np.ndarray, height: float, base: float,
    rng: np.random.Generator, recess: float = 0.18,
) -> list[Patch]:  # fmt: skip
    """A wall from `base` to the next regular height with a grid of recessed windows cut out."""
    top = facade.height if base > 0 else facade.ground_m
    u = np.concatenate([[0.0], np.stack([lefts, lefts + width], 1).ravel(), [facade.width]])
    v = np.concatenate([[base], np.stack([sills, sills + height], 1).ravel(), [top]])
    grid_u, grid_v = np.meshgrid(u, v, indexing="ij")
    points = facade.origin + grid_u[..., None] * facade.right + grid_v[..., None] * np.array([0.0, 0.0, 1.0])
    keep = np.ones((len(u) - 1, len(v) - 1), bool)
    keep[1:-1:2, 1:-1:2] = False
    coords = np.stack([grid_u, grid_v, np.zeros_like(grid_u)], -1)
    patches = [grid_patch(points, coords, facade.wall, keep=keep)]
    up = np.array([0.0, 0.0, height])
    frame = TRIMS[int(facade.wall.params[1]) % len(TRIMS)]
    side, back = width * facade.right, -recess * facade.outward
    reveals = []
    for left in lefts:
        for sill in sills:
            corner = _at(facade, left, sill)
            glass = Surface(Material.GLASS, (0.03, 0.035, 0.04), frame, (width, height, float(rng.integers(1000))))
            patches.append(quad(corner + back, side, up, glass))
            reveals += [(corner, side, back), (corner + up, back, side), (corner, back, up), (corner + side, up, back)]
    return [*patches, quads(*np.array(reveals).swapaxes(0, 1), facade.wall)]


def _shop_front(facade: Facade, rng: np.random.Generator) -> list[Patch]:
    count = max(1, round(facade.width / 3.2))
    pane = facade.width / count
    lefts = pane * np.arange(count) + 0.2
    band = 0.75
    patches = _pierced(facade, lefts, pane - 0.4, np.array([0.45]), facade.ground_m - band - 0.6, 0.0, rng, 0.12)
    color = BRIGHT[rng.integers(len(BRIGHT))]
    sign = Surface(Material.SHOP_SIGN, color, (0.8, 0.78, 0.7), (facade.width, 0.5, float(rng.integers(1000))))
    face = facade.width - 0.5
    patches += box(_at(facade, facade.width / 2, facade.ground_m - 0.48, 0.08), (face / 2, 0.08, 0.27),
                   _axes(facade), Surface(Material.PLAIN, color))  # fmt: skip
    corner = _at(facade, 0.25, facade.ground_m - 0.73, 0.165)
    patches.append(quad(corner, face * facade.right, (0, 0, 0.5), sign))
    if rng.random() < 0.6:
        out, drop = rng.uniform(0.9, 1.4), 0.7
        awning = Surface(Material.AWNING, color, (0.75, 0.73, 0.68), (float(rng.choice([0.3, 0.5])),))
        slope = out * facade.outward - np.array([0.0, 0.0, drop])
        patches.append(quad(_at(facade, 0.3, facade.ground_m - 0.78, 0.02), (face - 0.1) * facade.right, slope, awning))
    return patches


def _house_front(facade: Facade, lefts: np.ndarray, rng: np.random.Generator) -> list[Patch]:
    """Ground floor with windows; one bay holds the door."""
    width, height = facade.window[0], min(facade.window[1], facade.ground_m - 1.6)
    door_bay = int(rng.integers(len(lefts)))
    patches = _pierced(facade, lefts, width, np.array([1.05]), height, 0.0, rng)
    color = (BRIGHT + TRIMS)[rng.integers(len(BRIGHT) + len(TRIMS))]
    door = Surface(Material.DOOR, color, (0.02, 0.02, 0.02), (1.1, 2.3))
    u = lefts[door_bay] + width / 2
    patches += box(_at(facade, u, 1.3, 0.03), (0.78, 0.08, 1.3), _axes(facade), facade.trim)
    patches.append(quad(_at(facade, u - 0.55, 0.13, 0.115), 1.1 * facade.right, (0, 0, 2.3), door))
    patches += box(_at(facade, u, 2.75, 0.35), (0.95, 0.35, 0.07), _axes(facade), facade.trim)
    plinth = dataclasses.replace(facade.wall, color=facade.wall.accent, params=(2.0, 0.0))
    patches.append(quad(_at(facade, 0, 0, 0.03), facade.width * facade.right, (0, 0, 0.6), plinth))
    return patches


def _balconies(facade: Facade, lefts: np.ndarray, rng: np.random.Generator) -> list[Patch]:
    patches = []
    rail = Surface(Material.PLAIN, TRIMS[rng.integers(len(TRIMS))])
    every = int(rng.integers(1, 4))
    half = facade.window[0] / 2 + 0.35
    for floor in range(facade.num_floors):
        for bay in range(int(rng.integers(every)), len(lefts), every):
            u, v = lefts[bay] + facade.window[0] / 2, facade.ground_m + facade.floor_m * floor + 0.25
            patches += box(_at(facade, u, v, 0.5), (half, 0.5, 0.08), _axes(facade), facade.trim)
            patches += box(_at(facade, u, v + 0.5, 0.97), (half, 0.03, 0.42), _axes(facade), rail)
            for sign in (-1, 1):
                patches += box(_at(facade, u + sign * half, v + 0.5, 0.5), (0.03, 0.5, 0.42), _axes(facade), rail)
    return patches


def _sides_and_roof(facade: Facade, depth: float, rng: np.random.Generator) -> list[Patch]:
    back = -depth * facade.outward
    up = np.array([0.0, 0.0, facade.height])
    far = _at(facade, facade.width, 0)
    patches = [
        quad(facade.origin + back, -back, up, facade.wall),
        quad(far, back, up, facade.wall),
        quad(far + back, -facade.width * facade.right, up, facade.wall),
    ]
    tile_color = (0.3, 0.13, 0.09) if rng.random() < 0.5 else (0.13, 0.14, 0.16)
    tile = Surface(Material.WALL, tile_color, (0.1, 0.1, 0.1), (1.0,))
    eaves, ridge = _at(facade, 0, facade.height, 0.0), rng.choice([0.0, 2.0, 3.2])
    rise = back / 2 + np.array([0.0, 0.0, ridge])
    side = facade.width * facade.right
    patches.append(quad(eaves, side, rise, tile))
    patches.append(quad(eaves + back + side, -side, -back / 2 + np.array([0.0, 0.0, ridge]), tile))
    for start in (eaves, eaves + side):
        points = np.array([[start, start], [start + back, start + rise]])
        patches.append(grid_patch(points, points - start, facade.wall))
    return patches
