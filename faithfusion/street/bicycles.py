"""Bicycles and how they are ridden: turning wheels and cranks, legs on the pedals, hands on the bar.

Bicycle axes: x forward, y left, z up, origin on the ground between the wheels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faithfusion.street.courses import Course
from faithfusion.street.meshes import Color, Material, Patch, Surface, grid_patch, tube
from faithfusion.street.skeleton import (
    SHOULDER_ABOVE_WAIST,
    SHOULDER_HALF,
    SIDES,
    WAIST_ABOVE_HIPS,
    Body,
    Foot,
    arm_poses,
    at,
    hip_joint,
    leg_poses,
    posed,
    shoulder_joint,
    trunk_poses,
    turned,
)

WHEEL_M = 0.34  # radius
AXLES = (-0.5, 0.56)  # x of rear and front wheel
BRACKET = np.array([-0.06, 0.0, 0.29])  # axle of the cranks
CRANK_M = 0.17
PEDAL_Y = 0.13
SEAT_WAY = np.array([-0.31, 0.0, 0.95])  # direction of the seat tube
LEAN = -0.42  # radians, the trunk's pitch: forward
FRAMES: tuple[Color, ...] = ((0.02, 0.02, 0.025), (0.4, 0.03, 0.03), (0.03, 0.1, 0.3), (0.05, 0.2, 0.16),
                             (0.5, 0.5, 0.5))  # fmt: skip


@dataclass(frozen=True)
class Bicycle:
    """A bicycle set up for its rider."""

    color: Color
    metres_per_turn: float  # of the cranks


def draw_bicycle(rng: np.random.Generator) -> Bicycle:
    """A bicycle of random colour and gear."""
    return Bicycle(FRAMES[rng.integers(len(FRAMES))], rng.uniform(4.0, 5.0))


def _hips(body: Body) -> np.ndarray:
    """Middle of the hips on the saddle: the leg is nearly straight over the lowest pedal."""
    height = 1.02 * (body.thigh_m + body.shin_m) + body.ankle_m - CRANK_M
    return BRACKET + height * SEAT_WAY / np.linalg.norm(SEAT_WAY)


def _shoulder(body: Body, side: str) -> np.ndarray:
    chest = turned(0.0, LEAN)
    waist = _hips(body) + turned(0.0, 0.4 * LEAN) @ [0.0, 0.0, body.part(WAIST_ABOVE_HIPS)]
    y = SIDES[side] * body.part(SHOULDER_HALF) * body.build
    return waist + chest @ [0.0, y, body.part(SHOULDER_ABOVE_WAIST)]


def _grip(body: Body, side: str) -> np.ndarray:
    """The point behind the bar where a wrist rests."""
    way = np.array([0.72, SIDES[side] * 0.06, -0.66])
    reach = 0.93 * (body.upper_arm_m + body.forearm_m)
    return _shoulder(body, side) + reach * way / np.linalg.norm(way)


def riding_pose(body: Body, bicycle: Bicycle, course: Course, distance: float) -> dict[str, np.ndarray]:
    """World poses [4, 4] of the rider's bones and of `frame`, `wheel_rear`, `wheel_front`, `crank`, `pedal_*`."""
    heading = course.heading(distance)
    rotation = turned(heading)
    frame = posed(rotation, np.append(course.at(distance), course.floor(distance)))
    crank_turn = 2 * np.pi * distance / bicycle.metres_per_turn
    poses = {"frame": frame}
    for name, x in zip(("wheel_rear", "wheel_front"), AXLES, strict=True):
        poses[name] = posed(rotation @ turned(0.0, -distance / WHEEL_M), at(frame, [x, 0.0, WHEEL_M]))
    poses["crank"] = posed(rotation @ turned(0.0, -crank_turn), at(frame, BRACKET))
    pelvis = posed(rotation @ turned(0.0, 0.4 * LEAN), at(frame, _hips(body)))
    poses |= trunk_poses(body, pelvis, rotation @ turned(0.0, LEAN), rotation @ turned(0.0, 0.15 * LEAN))
    forward = rotation[:, 0]
    for side, sign in SIDES.items():
        pedal = at(poses["crank"], [sign * CRANK_M, sign * PEDAL_Y, 0.0])
        poses[f"pedal_{side}"] = posed(rotation, pedal)
        pitch = -0.2 - 0.15 * sign * np.sin(crank_turn)
        foot = rotation @ turned(0.0, pitch)
        ankle = pedal - foot @ [body.ball_m, 0.0, -body.ankle_m - 0.012]
        poses |= leg_poses(body, side, hip_joint(body, poses, side), Foot(ankle, heading, pitch, pitch), forward)
        wrist = at(frame, _grip(body, side))
        elbow = rotation @ [-0.3, 0.4 * sign, -1.0]
        poses |= arm_poses(body, side, shoulder_joint(body, poses, side), wrist, elbow, forward)
    return poses


def bicycle_patches(body: Body, bicycle: Bicycle) -> dict[str, list[Patch]]:
    """The bicycle's patches by the names of `riding_pose`."""
    steel = Surface(Material.PLAIN, (0.3, 0.3, 0.31))
    rubber = Surface(Material.PLAIN, (0.025, 0.025, 0.025))
    arms = [tube(np.array([[0, 0.9 * y, 0], [sign * CRANK_M, 0.9 * y, 0]], float), (0.014, 0.012), steel, sides=6)
            for sign, y in ((1, PEDAL_Y), (-1, -PEDAL_Y))]  # fmt: skip
    ring = _ring(0.095, 0.012, steel, y=-0.05)
    pedal = tube(np.array([[0.0, -0.05, 0.0], [0.0, 0.05, 0.0]]), (0.02, 0.02), rubber, sides=6)
    parts = {"crank": [*arms, ring], "pedal_left": [pedal], "pedal_right": [pedal]}
    parts |= {name: _wheel() for name in ("wheel_rear", "wheel_front")}
    return parts | {"frame": _frame(body, bicycle, steel, rubber)}


def _frame(body: Body, bicycle: Bicycle, steel: Surface, rubber: Surface) -> list[Patch]:
    painted = Surface(Material.CAR, bicycle.color, params=(-1.0,))
    hips = _hips(body)
    saddle = hips - [0.0, 0.0, 0.055 * body.height_m]
    seat = saddle - 0.16 * SEAT_WAY
    head_top, head_low = np.array([0.34, 0.0, max(0.78, seat[2])]), np.array([0.38, 0.0, 0.66])
    rear, front = (np.array([x, 0.0, WHEEL_M]) for x in AXLES)
    grips = {side: _grip(body, side) + [0.06, 0.0, 0.0] for side in SIDES}
    bar = 0.5 * (grips["left"] + grips["right"])
    pipes = [((BRACKET, seat), 0.017), ((seat, head_top), 0.016), ((BRACKET, head_low), 0.019),
             ((head_low, head_top), 0.02)]  # fmt: skip
    for sign in (-1, 1):
        out = np.array([0.0, 0.055 * sign, 0.0])
        pipes += [
            ((BRACKET + 0.5 * out, rear + out), 0.011),
            ((seat, rear + out), 0.01),
            ((head_low, front + out), 0.014),
        ]
    patches = [tube(np.array(ends), (radius, radius), painted, sides=8) for ends, radius in pipes]
    patches.append(tube(np.array([seat, saddle]), (0.014, 0.014), steel, sides=8))
    patches.append(tube(np.array([head_top, bar - [0.03, 0.0, 0.0]]), (0.014, 0.014), steel, sides=8))
    bow = [grips["right"] - [0.07, 0, 0], grips["right"], bar, grips["left"], grips["left"] - [0.07, 0, 0]]
    patches.append(tube(np.array(bow), (0.016, 0.016, 0.013, 0.016, 0.016), rubber, sides=8))
    nose = saddle + np.outer([-0.13, -0.1, 0.0, 0.1, 0.15], [1.0, 0.0, 0.0])
    return [*patches, tube(nose, (0.03, 0.07, 0.055, 0.03, 0.015), rubber, sides=12)]


def _wheel() -> list[Patch]:
    rubber = Surface(Material.PLAIN, (0.022, 0.022, 0.022))
    metal = Surface(Material.PLAIN, (0.4, 0.4, 0.41))
    spokes = []
    for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        tip = 0.9 * WHEEL_M * np.array([np.cos(angle), 0.0, np.sin(angle)])
        spokes.append(tube(np.array([0.05 * tip, tip]), (0.005, 0.004), metal, sides=4))
    hub = tube(np.array([[0.0, -0.06, 0.0], [0.0, 0.06, 0.0]]), (0.022, 0.022), metal, sides=8)
    return [_ring(WHEEL_M, 0.02, rubber), _ring(WHEEL_M - 0.034, 0.012, metal), hub, *spokes]


def _ring(outer_m: float, thick_m: float, surface: Surface, y: float = 0.0) -> Patch:
    """A torus about the y axis whose outermost points lie at `outer_m`."""
    around, across = np.meshgrid(np.linspace(0, 2 * np.pi, 33), np.linspace(0, 2 * np.pi, 9), indexing="ij")
    radius = outer_m - thick_m + thick_m * np.cos(across)
    points = np.stack([radius * np.cos(around), y + thick_m * np.sin(across), radius * np.sin(around)], -1)
    coords = np.stack([outer_m * around, thick_m * across, np.zeros_like(around)], -1)
    return grid_patch(points, coords, surface, smooth=True)
