"""Bodies and clothes of people as patches per bone (bone axes of `skeleton`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from faithfusion.street.meshes import Color, Material, Patch, Surface, grid_patch
from faithfusion.street.outfits import Outfit
from faithfusion.street.skeleton import HIP_HALF, SIDES, Body, at


def person_patches(body: Body, outfit: Outfit) -> dict[str, list[Patch]]:
    """The body's patches by bone."""
    patches = {"pelvis": _pelvis(body, outfit), "chest": _chest(body, outfit), "head": _head(body, outfit)}
    for side in SIDES:
        patches |= {f"{bone}_{side}": found for bone, found in (_leg(body, outfit) | _arm(body, outfit)).items()}
    return patches


def loft(
    sections: np.ndarray, surface: Surface, *, exponent: float = 2.0, sides: int = 16, capped: bool = True
) -> Patch:
    """A closed body along z from rows (z, half x, half y, centre x): superellipses, flat ends.

    Texture coordinates: metres around, measured where the body is widest, and z.
    """
    z, half_x, half_y, centre = np.asarray(sections, float).T
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    cos, sin = np.cos(angle), np.sin(angle)
    x = centre[:, None] + half_x[:, None] * np.sign(cos) * np.abs(cos) ** (2 / exponent)
    y = half_y[:, None] * np.sign(sin) * np.abs(sin) ** (2 / exponent)
    points = np.stack([x, y, np.broadcast_to(z[:, None], x.shape)], -1)
    coords = np.zeros_like(points)
    coords[..., 0] = angle * np.maximum(half_x, half_y).max()
    coords[..., 1] = z[:, None]
    if capped:
        ends = [np.broadcast_to(points[k].mean(0), points[:1].shape) for k in (0, -1)]
        points = np.concatenate([ends[0], points, ends[1]])
        coords = np.concatenate([coords[:1], coords, coords[-1:]])
    return grid_patch(points, coords, surface, smooth=True)


def limb(length_m: float, radii: tuple[float, ...], surface: Surface, *, sides: int = 12) -> Patch:
    """A bone's flesh from its joint at z = 0 down to -length, with round ends; radii are spread over the length."""
    top, bottom = radii[0], radii[-1]
    rounding = np.linspace(0, np.pi / 2, 5)[:-1]
    rows = [(top * np.cos(a), top * np.sin(a)) for a in rounding]
    rows += list(zip(-length_m * np.linspace(0, 1, len(radii)), radii, strict=True))
    rows += [(-length_m - bottom * np.sin(a), bottom * np.cos(a)) for a in np.linspace(0, np.pi / 2, 5)[1:]]
    return loft(np.array([(z, radius, radius, 0.0) for z, radius in rows]), surface, sides=sides, capped=False)


def _cloth(color: Color, accent: Color, pattern: tuple[int, float], seed: int) -> Surface:
    return Surface(Material.CLOTH, color, accent, (float(pattern[0]), pattern[1], float(seed)))


def _top(outfit: Outfit) -> Surface:
    return _cloth(outfit.top, outfit.accent, outfit.top_pattern, outfit.seed)


def _legwear(outfit: Outfit) -> Surface:
    return _cloth(outfit.legs, outfit.legs, (0, 0.1), outfit.seed + 1)


def _rows(body: Body, rows: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """Rows of shares of the body height in metres, widths (not z) times the build."""
    return np.array(rows) * body.height_m * np.array([1.0, body.build, body.build, 1.0])


def _pelvis(body: Body, outfit: Outfit) -> list[Patch]:
    rows = ((-0.05, 0.045, 0.05, 0.0), (-0.035, 0.06, 0.085, -0.002), (0.0, 0.064, 0.096, -0.006),
            (0.04, 0.058, 0.088, -0.004), (0.085, 0.055, 0.082, 0.0))  # fmt: skip
    return [loft(_rows(body, rows), _legwear(outfit), exponent=2.4, sides=20)]


def _chest(body: Body, outfit: Outfit) -> list[Patch]:
    """Shirt or jacket from the hips to the neck, the neck itself, and a rucksack."""
    rows = ((-0.07, 0.077, 0.104, -0.002), (-0.04, 0.074, 0.1, -0.002), (0.0, 0.062, 0.088, 0.0),
            (0.06, 0.063, 0.09, 0.002), (0.12, 0.07, 0.102, 0.0), (0.17, 0.067, 0.11, -0.004),
            (0.2, 0.056, 0.106, -0.007), (0.218, 0.045, 0.085, -0.008), (0.23, 0.034, 0.05, -0.006))  # fmt: skip
    neck = np.array(((0.215, 0.03, 0.03, -0.004), (0.275, 0.028, 0.027, 0.004))) * body.height_m
    patches = [
        loft(_rows(body, rows), _top(outfit), exponent=2.5, sides=24),
        loft(neck, Surface(Material.PLAIN, outfit.skin), sides=12),
    ]
    if outfit.bag is not None:
        bag = ((0.03, 0.045, 0.075, -0.112), (0.05, 0.055, 0.085, -0.117), (0.16, 0.05, 0.085, -0.115),
               (0.2, 0.03, 0.06, -0.095))  # fmt: skip
        bag_surface = _cloth(outfit.bag, outfit.accent, (1, 0.21), outfit.seed + 2)
        patches.append(loft(np.array(bag) * body.height_m, bag_surface, exponent=3.5, sides=16))
    return patches


def _head(body: Body, outfit: Outfit) -> list[Patch]:
    """Skull with face, hair or a helmet; the origin is the base of the neck."""
    skin = Surface(Material.PLAIN, outfit.skin)
    rows = ((0.043, 0.02, 0.018, 0.028), (0.05, 0.034, 0.03, 0.02), (0.068, 0.048, 0.039, 0.012),
            (0.095, 0.055, 0.044, 0.008), (0.12, 0.057, 0.045, 0.005), (0.14, 0.05, 0.04, 0.003),
            (0.157, 0.03, 0.025, 0.0), (0.163, 0.008, 0.008, 0.0))  # fmt: skip
    nose = ((0.078, 0.006, 0.008, 0.064), (0.083, 0.011, 0.009, 0.064), (0.105, 0.004, 0.005, 0.06))
    head = [loft(np.array(part) * body.height_m, skin, sides=16) for part in (rows, nose)]
    head.append(_cap(body, Surface(Material.BARK, outfit.hair), grow=1.0, front=0.118))
    if outfit.long_hair:
        tail = ((-0.03, 0.012, 0.03, -0.05), (0.0, 0.026, 0.042, -0.04), (0.06, 0.032, 0.046, -0.028),
                (0.11, 0.03, 0.044, -0.022))  # fmt: skip
        head.append(loft(np.array(tail) * body.height_m, Surface(Material.BARK, outfit.hair), sides=14))
    if outfit.helmet is not None:
        shell = Surface(Material.CAR, outfit.helmet, params=(-1.0,))
        head.append(_cap(body, shell, grow=1.18, front=0.125))
    return head


def _cap(body: Body, surface: Surface, *, grow: float, front: float) -> Patch:
    """The part of an ellipsoid over the skull that lies above the hairline (z of the forehead, shares of height)."""
    polar, around = np.meshgrid(np.linspace(0.02, 0.75 * np.pi, 22), np.linspace(0, 2 * np.pi, 31), indexing="ij")
    unit = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1)
    points = unit * np.array([0.061, 0.05, 0.056]) * grow + [-0.002, 0.0, 0.115]
    centre = 0.25 * (points[1:, 1:] + points[:-1, 1:] + points[1:, :-1] + points[:-1, :-1])
    hairline = front + np.minimum(centre[..., 0] - 0.03, 0.0) * 1.1
    return grid_patch(points * body.height_m, points * body.height_m, surface, smooth=True,
                      keep=centre[..., 2] > hairline)  # fmt: skip


def _leg(body: Body, outfit: Outfit) -> dict[str, list[Patch]]:
    cloth = _legwear(outfit)
    bare = Surface(Material.PLAIN, outfit.skin)
    size = body.part(body.build)
    thigh = tuple(size * share for share in (0.047, 0.052, 0.047, 0.041, 0.036))
    shin = tuple(size * share for share in (0.036, 0.038, 0.036, 0.031, 0.029))
    slim = tuple(size * share for share in (0.032, 0.034, 0.03, 0.022, 0.019))
    dressed = outfit.skirt_m == 0
    return {
        "thigh": [limb(body.thigh_m, thigh, cloth if dressed else bare)],
        "shin": [limb(body.shin_m, shin if dressed else slim, cloth if dressed else bare)],
        "foot": [_shoe(body, outfit)],
        "toes": [_toes(body, outfit)],
    }


def _shoe(body: Body, outfit: Outfit) -> Patch:
    """The stiff part of a shoe, from heel to ball; the origin is the ankle."""
    sole = -body.ankle_m / body.height_m
    rows = ((-0.038, sole + 0.006, sole + 0.03, 0.012), (-0.034, sole, sole + 0.044, 0.02),
            (-0.01, sole, sole + 0.06, 0.023), (0.012, sole, sole + 0.057, 0.023), (0.045, sole, sole + 0.037, 0.025),
            (0.075, sole, sole + 0.027, 0.028))  # fmt: skip
    return _lengthwise(body, rows, Surface(Material.PLAIN, outfit.shoes))


def _toes(body: Body, outfit: Outfit) -> Patch:
    """The shoe's tip; the origin is the ball of the foot on the ground."""
    rows = ((-0.004, 0.0, 0.027, 0.028), (0.02, 0.0, 0.024, 0.028), (0.042, 0.002, 0.019, 0.021),
            (0.051, 0.005, 0.012, 0.01))  # fmt: skip
    return _lengthwise(body, rows, Surface(Material.PLAIN, outfit.shoes))


def _lengthwise(body: Body, rows: tuple[tuple[float, ...], ...], surface: Surface) -> Patch:
    """A loft along x from rows (x, bottom, top, half width) in shares of the height."""
    x, bottom, top, half = (np.array(rows) * body.height_m).T
    upright = loft(np.stack([x, 0.5 * (top - bottom), half, 0.5 * (top + bottom)], -1), surface, exponent=3, sides=14)
    x_from_z = np.eye(4)
    x_from_z[:3, :3] = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    return upright.moved(x_from_z)


def _arm(body: Body, outfit: Outfit) -> dict[str, list[Patch]]:
    sleeve, skin = _top(outfit), Surface(Material.PLAIN, outfit.skin)
    size = body.part(1.0) * (0.5 + 0.5 * body.build)
    upper = tuple(size * share for share in (0.03, 0.031, 0.028, 0.025))
    lower = tuple(size * share for share in (0.025, 0.025, 0.022, 0.018))
    rows = np.array(((-0.05, 0.7, 0.9), (0.2, 1.0, 1.1), (0.55, 1.05, 1.0), (0.85, 0.8, 0.8), (1.0, 0.3, 0.3)))
    along, wide, thick = (rows * body.height_m * [0.1, 0.022, 0.012]).T
    hand = np.stack([-body.forearm_m - along, wide, thick, 0 * along], -1)
    below = skin if outfit.short_sleeves else sleeve
    return {
        "upper_arm": [limb(body.upper_arm_m, upper, sleeve)],
        "forearm": [limb(body.forearm_m, lower, below), loft(hand, skin, exponent=2.6, sides=12)],
    }


def skirt_patch(body: Body, outfit: Outfit, poses: Mapping[str, np.ndarray]) -> Patch:
    """A skirt from waist to hem in the world: the hem goes round both thighs wherever they are."""
    pelvis = poses["pelvis"]
    drop = np.linspace(0, 1, 7)
    legs = np.stack([(np.linalg.inv(pelvis) @ [*at(poses[f"thigh_{side}"], [0, 0, -outfit.skirt_m]), 1.0])[:3]
                     for side in SIDES])  # fmt: skip
    front, back = legs[:, 0].max(), legs[:, 0].min()
    spread = 0.066 * body.height_m * body.build
    half_x = spread + drop * 0.5 * (front - back)
    half_y = (HIP_HALF + 0.05 + 0.018 * drop) * body.height_m * body.build
    z = 0.075 * body.height_m + drop * (legs[:, 2].mean() - 0.075 * body.height_m)
    rows = np.stack([z, half_x, half_y, drop * 0.5 * (front + back)], -1)
    surface = _cloth(outfit.legs, outfit.accent, outfit.top_pattern, outfit.seed + 3)
    return loft(rows, surface, exponent=2.3, sides=24, capped=False).moved(pelvis)
