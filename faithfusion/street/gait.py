"""Walking: feet that stay where they stand, knees that follow, arms that swing against the legs.

Everything is a function of the distance walked, so feet do not slide at any speed. A step is the distance between two
heel strikes; each foot stands for STANCE of its two steps. Timing and angles are rounded from J. Perry, "Gait
Analysis", 1992: heel strike with the toes up, flat foot, heel off about the ball, swing.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from faithfusion.street.courses import Course
from faithfusion.street.skeleton import (
    HIP_HALF,
    MAX_STRETCH,
    SIDES,
    Body,
    Foot,
    arm_poses,
    hip_joint,
    leg_poses,
    posed,
    shoulder_joint,
    trunk_poses,
    turned,
)

STANCE = 0.58
STRIKE_AHEAD = 0.47  # of a step: how far before the body a foot comes down
STRIKE_PITCH, PUSH_PITCH = 0.32, -1.1  # radians at heel strike and when the toes leave the ground
FLAT_FROM, FLAT_TO = 0.1, 0.28  # shares of the two steps
HALF_TRACK = 0.026  # of body height: feet beside the middle line
BOB = 0.012  # of body height


@dataclass(frozen=True)
class Gait:
    """The way somebody walks: length of a step; swing of the arms, lean and bend of the elbow in radians."""

    step_m: float
    arm_swing: float = 0.42
    lean: float = 0.05
    elbow: float = 0.22


def step_length(body: Body, speed_m_s: float) -> float:
    """Metres per step: 0.415 of the height at 1.4 m/s, growing with the root of the speed as the cadence does."""
    return 0.415 * body.height_m * float(np.sqrt(speed_m_s / 1.4))


def walking_pose(body: Body, gait: Gait, course: Course, distance: float) -> dict[str, np.ndarray]:
    """World poses [4, 4] of all bones when the body is at `distance` on its course."""
    heading = course.heading(distance)
    forward = turned(heading)[:, 0]
    feet = {side: foot_at(body, gait, course, distance, side) for side in SIDES}
    turn = np.pi * distance / gait.step_m  # 0: the left foot is under the body
    pelvis = _pelvis(body, gait, course, distance, heading, feet)
    twist = turned(heading - 0.14 * np.sin(turn), -gait.lean)
    poses = trunk_poses(body, pelvis, twist, turned(heading, -0.3 * gait.lean))
    for side, sign in SIDES.items():
        hip = hip_joint(body, poses, side)
        toward = turned(feet[side].heading)[:, 0]
        poses |= leg_poses(body, side, hip, feet[side], forward + toward)
        poses |= _arm(body, gait, poses, side, sign * np.sin(turn))
    return poses


def foot_at(body: Body, gait: Gait, course: Course, distance: float, side: str) -> Foot:
    """A foot: standing at its place on the ground, or on its way to the next one."""
    first = 0.0 if side == "left" else gait.step_m
    cycles = (distance - first) / (2 * gait.step_m) + 0.5 * STRIKE_AHEAD
    number = np.floor(cycles)
    phase = float(cycles - number)
    place = first + 2 * gait.step_m * float(number)
    if phase < STANCE:
        return _planted(body, course, place, side, _stance_pitch(phase))
    swing = (phase - STANCE) / (1 - STANCE)
    last = _planted(body, course, place, side, PUSH_PITCH)
    following = _planted(body, course, place + 2 * gait.step_m, side, STRIKE_PITCH)
    share = _ease(swing)
    rise = course.ground(place + 2 * gait.step_m) - course.ground(place)
    over_kerb = max(rise, -0.25 * rise)
    lift = (0.03 * body.height_m + over_kerb) * np.sin(np.pi * swing) ** 2
    pitch = PUSH_PITCH + (STRIKE_PITCH - PUSH_PITCH) * _ease(swing / 0.8)
    return Foot(
        last.ankle + share * (following.ankle - last.ankle) + [0.0, 0.0, lift],
        last.heading + share * (following.heading - last.heading),
        pitch,
        pitch if pitch > 0 else pitch * _ease(swing / 0.7),
    )


def _ease(share: float) -> float:
    share = float(np.clip(share, 0, 1))
    return share * share * (3 - 2 * share)


def _stance_pitch(phase: float) -> float:
    if phase < FLAT_TO:
        return STRIKE_PITCH * (1 - _ease(phase / FLAT_FROM))
    return PUSH_PITCH * ((phase - FLAT_TO) / (STANCE - FLAT_TO)) ** 2


def _planted(body: Body, course: Course, place: float, side: str, pitch: float) -> Foot:
    """A foot that touches the ground at `place` and turns about its heel (toes up) or about its ball (heel up)."""
    heading = course.heading(place)
    ground = course.ground(place + np.array([-body.heel_m, 0.0, body.ball_m])).max()
    flat = turned(heading)
    left = SIDES[side] * HALF_TRACK * body.height_m
    pivot = -body.heel_m if pitch > 0 else body.ball_m
    from_pivot = turned(0.0, pitch) @ [-pivot, 0.0, body.ankle_m]
    in_foot = from_pivot + [pivot, left, 0.0]
    ankle = flat @ in_foot + np.append(course.at(place), ground)
    return Foot(ankle, heading, pitch, max(pitch, 0.0))


def _pelvis(
    body: Body, gait: Gait, course: Course, distance: float, heading: float, feet: dict[str, Foot]
) -> np.ndarray:
    """Pose of the pelvis: it sways over the standing foot, turns with the legs, and rises over a straight leg."""
    turn = np.pi * distance / gait.step_m
    rotation = turned(heading + 0.1 * np.sin(turn), 0.0, -0.03 * np.cos(turn))
    sway = 0.011 * body.height_m * np.cos(turn)
    centre = np.append(course.at(distance), 0.0) + turned(heading) @ [0.0, sway, 0.0]
    height = course.floor(distance) + hip_height(body, gait) + BOB * body.height_m * np.cos(2 * turn)
    limit = MAX_STRETCH * (body.thigh_m + body.shin_m)
    for side, foot in feet.items():  # over a kerb the legs decide
        hip = centre + rotation @ [0.0, SIDES[side] * HIP_HALF * body.height_m * body.build, 0.0]
        apart = np.linalg.norm((foot.ankle - hip)[:2])
        height = min(height, foot.ankle[2] + np.sqrt(limit**2 - apart**2) - (hip - centre)[2])
    return posed(rotation, centre + [0.0, 0.0, height])


@functools.cache
def flat_course() -> Course:
    """A straight way on flat ground."""
    distance = np.linspace(-5, 10, 4)
    line = np.stack([distance, 0 * distance], -1)
    return Course(distance, line, line, 0 * distance, 0 * distance)


@functools.lru_cache(maxsize=256)
def hip_height(body: Body, gait: Gait) -> float:
    """Mean height of the hips over flat ground: the highest at which the legs reach all through a step."""
    limit = MAX_STRETCH * (body.thigh_m + body.shin_m)
    apart_y = (HIP_HALF * body.build - HALF_TRACK) * body.height_m
    heights = []
    for distance in np.linspace(0, 2 * gait.step_m, 80, endpoint=False):
        foot = foot_at(body, gait, flat_course(), float(distance), "left")
        reach = np.sqrt(limit**2 - (foot.ankle[0] - distance) ** 2 - apart_y**2)
        heights.append(foot.ankle[2] + reach - BOB * body.height_m * np.cos(2 * np.pi * distance / gait.step_m))
    return float(min(heights))


def _arm(body: Body, gait: Gait, poses: dict[str, np.ndarray], side: str, swing: float) -> dict[str, np.ndarray]:
    """An arm that hangs and swings: `swing` in [-1, 1], forward is positive."""
    shoulder = shoulder_joint(body, poses, side)
    chest = poses["chest"][:3, :3]
    upper = gait.arm_swing * swing + 0.02
    lower = upper + gait.elbow + 0.3 * gait.arm_swing * (1 + swing)
    out = SIDES[side] * 0.13
    upper_way = np.array([np.sin(upper), out, -np.cos(upper)])
    lower_way = np.array([np.sin(lower), 0.3 * out, -np.cos(lower)])
    elbow = shoulder + body.upper_arm_m * (chest @ upper_way) / np.linalg.norm(upper_way)
    wrist = elbow + body.forearm_m * (chest @ lower_way) / np.linalg.norm(lower_way)
    return arm_poses(body, side, shoulder, wrist, elbow - shoulder - 0.5 * (wrist - shoulder), chest[:, 0])
