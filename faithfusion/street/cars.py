"""Cars lofted from profiles: a rounded body, a greenhouse with glass, wheels, and painted details.

Car axes: x forward, y left, z up, origin on the ground under the middle of the car.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from faithfusion.street.meshes import Color, Material, Patch, Surface, box, grid_patch, tube

PAINTS: tuple[Color, ...] = (
    (0.72, 0.73, 0.74), (0.03, 0.03, 0.035), (0.28, 0.29, 0.3), (0.45, 0.46, 0.47), (0.45, 0.03, 0.03),
    (0.03, 0.09, 0.3),
    (0.8, 0.8, 0.78), (0.1, 0.11, 0.12), (0.05, 0.2, 0.32), (0.3, 0.24, 0.16), (0.04, 0.14, 0.08), (0.6, 0.25, 0.03),
)  # fmt: skip


@dataclass(frozen=True)
class CarShape:
    """Proportions of a body kind. Profiles are (x / length, z / height) from rear to front."""

    length: float
    width: float
    height: float
    wheel_radius: float
    axles: tuple[float, float]  # rear, front, x / length
    body: tuple[tuple[float, float], ...]  # top of the lower body: boot, belt line, bonnet
    roof: tuple[tuple[float, float], ...]  # from the foot of the rear window to the foot of the windscreen
    pillars: tuple[float, ...]  # x / length of the posts between the side windows
    glass_until: float  # side glass ends here towards the rear, x / length


SHAPES: dict[str, CarShape] = {
    "sedan": CarShape(
        4.65, 1.82, 1.45, 0.33, (-0.295, 0.305),
        ((-0.5, 0.45), (-0.49, 0.6), (-0.46, 0.68), (-0.36, 0.7), (0.1, 0.655), (0.24, 0.64), (0.4, 0.57), (0.475, 0.5),
         (0.5, 0.38)),
        ((-0.395, 0.69), (-0.33, 0.82), (-0.22, 0.955), (-0.05, 1.0), (0.05, 0.975), (0.16, 0.81), (0.25, 0.64)),
        (-0.02,), -0.29,
    ),
    "hatch": CarShape(
        4.05, 1.76, 1.47, 0.32, (-0.315, 0.31),
        ((-0.5, 0.42), (-0.492, 0.6), (-0.475, 0.66), (-0.36, 0.665), (0.1, 0.65), (0.27, 0.64), (0.42, 0.56),
         (0.48, 0.48), (0.5, 0.36)),
        ((-0.485, 0.64), (-0.455, 0.78), (-0.39, 0.94), (-0.2, 0.995), (-0.05, 1.0), (0.05, 0.965), (0.17, 0.8),
         (0.285, 0.63)),
        (-0.06,), -0.36,
    ),
    "suv": CarShape(
        4.6, 1.9, 1.68, 0.37, (-0.3, 0.305),
        ((-0.5, 0.42), (-0.493, 0.56), (-0.475, 0.64), (-0.36, 0.65), (0.1, 0.64), (0.26, 0.625), (0.43, 0.57),
         (0.485, 0.5), (0.5, 0.36)),
        ((-0.485, 0.63), (-0.46, 0.78), (-0.41, 0.95), (-0.2, 0.995), (0.0, 1.0), (0.07, 0.965), (0.17, 0.8),
         (0.27, 0.62)),
        (-0.22, 0.0), -0.4,
    ),
    "van": CarShape(
        5.1, 1.95, 2.0, 0.34, (-0.31, 0.33),
        ((-0.5, 0.36), (-0.495, 0.5), (-0.485, 0.55), (-0.36, 0.55), (0.15, 0.545), (0.33, 0.53), (0.45, 0.46),
         (0.49, 0.4), (0.5, 0.3)),
        ((-0.493, 0.54), (-0.485, 0.8), (-0.465, 0.96), (-0.3, 0.995), (0.05, 1.0), (0.16, 0.965), (0.26, 0.77),
         (0.36, 0.52)),
        (-0.17, 0.05), 0.0,
    ),
}  # fmt: skip
CLEARANCE_M = 0.2
RING = 28  # points around a section


def car_size(kind: str) -> tuple[float, float, float]:
    """Length, width and height of a body kind in metres: its 3D box."""
    shape = SHAPES[kind]
    return shape.length, shape.width, shape.height


def car_patches(kind: str, paint: int) -> list[Patch]:
    """The car in its own axes; instance 0 until it is placed."""
    shape = SHAPES[kind]
    color = PAINTS[paint % len(PAINTS)]
    patches = [_lower_body(shape, color), *_greenhouse(shape, color)]
    for axle in shape.axles:
        for sign in (-1, 1):
            patches += _wheel(shape, axle * shape.length, sign)
    dark = Surface(Material.PLAIN, (0.015, 0.015, 0.017))
    under = (0.42 * shape.length, 0.4 * shape.width, 0.12)
    patches += box((0.0, 0.0, CLEARANCE_M + 0.1), under, np.eye(3), dark)
    mirror = Surface(Material.CAR, color, params=_car_params(shape))
    foot = shape.roof[-1][0] * shape.length - 0.45
    for sign in (-1, 1):
        centre = (foot, sign * (shape.width / 2 - 0.07), shape.body[4][1] * shape.height + 0.09)
        patches += box(centre, (0.06, 0.07, 0.06), np.eye(3), mirror)
    return patches


def _car_params(shape: CarShape) -> tuple[float, ...]:
    rear, front = (axle * shape.length for axle in shape.axles)
    return (shape.length, shape.width, shape.height, shape.wheel_radius, rear, front, shape.body[4][1])


def _half_width(shape: CarShape, x: np.ndarray) -> np.ndarray:
    """Half width of the body in plan view: rounded towards both ends."""
    ends = PchipInterpolator([-0.5, -0.485, -0.44, -0.3, 0.25, 0.42, 0.485, 0.5],
                             [0.78, 0.9, 0.965, 1.0, 1.0, 0.95, 0.84, 0.66])  # fmt: skip
    return 0.5 * shape.width * ends(x / shape.length)


def _loft(
    x: np.ndarray, half_width: np.ndarray, low: np.ndarray, high: np.ndarray, exponent: float, angles: np.ndarray
) -> np.ndarray:
    """Superellipse sections [A, B, 3] standing at x, from angle 0 (left) over the top (pi / 2) to the right."""
    cos, sin = np.cos(angles), np.sin(angles)
    y = half_width[:, None] * np.sign(cos) * np.abs(cos) ** (2 / exponent)
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    z = middle[:, None] + half[:, None] * np.sign(sin) * np.abs(sin) ** (2 / exponent)
    return np.stack([np.broadcast_to(x[:, None], y.shape), y, z], -1)


def _lower_body(shape: CarShape, color: Color) -> Patch:
    profile = np.array(shape.body) * [shape.length, shape.height]
    u = 0.5 * (1 - np.cos(np.linspace(0, np.pi, 34)))
    x = (u - 0.5) * shape.length
    high = PchipInterpolator(*profile.T)(x)
    low = CLEARANCE_M + 0.16 * np.abs(2 * x / shape.length) ** 6
    angles = np.linspace(0, 2 * np.pi, RING + 1)
    points = _loft(x, _half_width(shape, x), low, high, 4.2, angles)
    # tumblehome below the belt: the sides lean in a little towards the sill and the shoulder
    relative = (points[..., 2] - CLEARANCE_M) / (shape.body[4][1] * shape.height - CLEARANCE_M)
    points[..., 1] *= 1.0 - 0.05 * np.clip(relative - 0.55, -0.55, 0.5) ** 2 * 4
    caps = [points[:1].mean(1, keepdims=True), points[-1:].mean(1, keepdims=True)]
    points = np.concatenate([np.broadcast_to(caps[0], points[:1].shape), points,
                             np.broadcast_to(caps[1], points[:1].shape)])  # fmt: skip
    return grid_patch(points, points, Surface(Material.CAR, color, params=_car_params(shape)), smooth=True)


def _greenhouse(shape: CarShape, color: Color) -> list[Patch]:
    """The cabin as one loft whose cells are glass or painted metal; cell borders are the window borders."""
    length, height = shape.length, shape.height
    profile = np.array(shape.roof) * [length, height]
    back, foot = profile[0, 0], profile[-1, 0]
    posts = [edge for pillar in shape.pillars for edge in (pillar * length - 0.05, pillar * length + 0.05)]
    rear_edge = shape.glass_until * length
    x = np.unique(np.concatenate([np.linspace(back, foot, 24), posts, [rear_edge]]))
    top = PchipInterpolator(*profile.T)(x)
    belt = PchipInterpolator(*(np.array(shape.body) * [length, height]).T)(x) - 0.02
    top = np.maximum(top, belt + 0.005)
    angles = np.linspace(0, np.pi, 25)
    half_width = _half_width(shape, x) * 0.955
    points = _loft(x, half_width, 2 * belt - top, top, 3.6, angles)
    lean = np.clip((points[..., 2] - belt[:, None]) / (height - belt[:, None]), 0, 1)
    points[..., 1] *= 1.0 - 0.2 * lean**1.2
    keep = _glass_cells(shape, x, points, top, belt, posts, rear_edge)
    glass = Surface(Material.CAR, (0.02, 0.024, 0.027), params=(0.0,))
    painted = Surface(Material.CAR, color, params=(-1.0,))
    return [
        grid_patch(points, points, glass, smooth=True, keep=keep),
        grid_patch(points, points, painted, smooth=True, keep=~keep),
    ]


def _glass_cells(
    shape: CarShape, x: np.ndarray, points: np.ndarray, top: np.ndarray, belt: np.ndarray, posts: list[float],
    rear_edge: float,
) -> np.ndarray:  # fmt: skip
    middle_x = 0.5 * (x[:-1] + x[1:])
    centre = 0.25 * (points[:-1, :-1] + points[1:, :-1] + points[1:, 1:] + points[:-1, 1:])
    cell_top, cell_belt = 0.5 * (top[:-1] + top[1:]), 0.5 * (belt[:-1] + belt[1:])
    slope = np.diff(top) / np.diff(x)
    columns = centre.shape[1]
    across = (np.arange(columns) + 0.5) / columns  # 0 left, 0.5 top, 1 right
    over_top = np.abs(across - 0.5) < 0.36
    steep = (np.abs(slope) > 0.3) & (cell_top - cell_belt > 0.05)
    screen = steep[:, None] & over_top[None] & (cell_top < 0.965 * shape.height)[:, None]
    if rear_edge >= 0.0:  # a van: no rear side windows and a closed back
        screen &= (middle_x > 0)[:, None]
    post = np.zeros(len(middle_x), bool)
    for a, b in zip(posts[::2], posts[1::2], strict=True):
        post |= (middle_x > a) & (middle_x < b)
    windscreen_post = (slope < -0.3) & (cell_top < 0.74 * shape.height)
    height = (centre[..., 2] - cell_belt[:, None]) / (shape.height - cell_belt[:, None])
    limit = np.minimum(0.83, (cell_top - cell_belt) / (shape.height - cell_belt) - 0.1)[:, None]
    side = (np.abs(across - 0.5) >= 0.36)[None] & (height > 0.07) & (height < limit)
    side &= (~post & ~windscreen_post & (middle_x > rear_edge))[:, None]
    return screen | side


def _wheel(shape: CarShape, x: float, sign: int) -> list[Patch]:
    radius = shape.wheel_radius
    outer = sign * (shape.width / 2 - 0.005)
    inner = outer - sign * 0.22
    hub = np.array([x, 0.0, radius])
    tyre = Surface(Material.PLAIN, (0.02, 0.02, 0.02))
    rim = Surface(Material.WHEEL, (0.5, 0.51, 0.52), (0.02, 0.02, 0.02), (radius,))
    path = hub + np.outer([inner, outer - sign * 0.02, outer], [0.0, 1.0, 0.0])
    angle = np.linspace(0, 2 * np.pi, 25)
    circle = 0.97 * radius * np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], -1)
    face = np.stack([np.zeros_like(circle), circle])
    coords = face[..., [0, 2, 1]]
    return [
        tube(path, (radius, radius, 0.97 * radius), tyre, sides=24),
        grid_patch(face + hub + [0, outer, 0], coords, rim),
    ]
