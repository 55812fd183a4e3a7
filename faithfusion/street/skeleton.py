"""Bones of a person: proportions, two-bone limbs, and the poses of all bones from a few joints.

Bone axes: x forward, y left, z up while standing; the origin is the joint nearer to the trunk (hip, knee, shoulder,
elbow, ankle, ball of the foot), for pelvis and chest the middle of the hips and of the waist. Proportions of body
height are rounded from D. Winter, "Biomechanics and Motor Control of Human Movement", 2009, figure 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

SIDES = {"left": 1, "right": -1}  # sign of y
MAX_STRETCH = 0.995  # of a limb's length: joints never lock


@dataclass(frozen=True)
class Body:
    """Lengths of a person in metres; all but `build` (width over average) follow from the height."""

    height_m: float
    build: float = 1.0

    def part(self, share: float) -> float:
        """A share of the body height, in metres."""
        return share * self.height_m

    @property
    def thigh_m(self) -> float:
        """Hip to knee."""
        return self.part(0.245)

    @property
    def shin_m(self) -> float:
        """Knee to ankle."""
        return self.part(0.246)

    @property
    def ankle_m(self) -> float:
        """Height of the ankle over the sole."""
        return self.part(0.042)

    @property
    def heel_m(self) -> float:
        """Ankle to the heel's edge, backwards."""
        return self.part(0.038)

    @property
    def ball_m(self) -> float:
        """Ankle to the ball of the foot, forwards."""
        return self.part(0.075)

    @property
    def upper_arm_m(self) -> float:
        """Shoulder to elbow."""
        return self.part(0.175)

    @property
    def forearm_m(self) -> float:
        """Elbow to wrist."""
        return self.part(0.148)


HIP_HALF, SHOULDER_HALF = 0.05, 0.112  # y of the joints
WAIST_ABOVE_HIPS, SHOULDER_ABOVE_WAIST, NECK_ABOVE_WAIST = 0.07, 0.19, 0.225


@dataclass(frozen=True)
class Foot:
    """A foot's place: ankle in the world, heading, and pitch of foot and toes (radians, toes up is positive)."""

    ankle: np.ndarray
    heading: float
    pitch: float
    toe_pitch: float


def frame(origin: np.ndarray, up: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """Pose [4, 4] with z along `up` and x as near to `forward` as it can be."""
    z = up / np.linalg.norm(up)
    x = forward - (forward @ z) * z
    x = x / np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = x, np.cross(z, x), z, origin
    return pose


def turned(heading: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Rotation [3, 3]: heading about z, then pitch (leaning back or toes up is positive), then roll to the left."""
    c, s = np.cos([heading, pitch, roll]), np.sin([heading, pitch, roll])
    about_z = np.array([[c[0], -s[0], 0.0], [s[0], c[0], 0.0], [0.0, 0.0, 1.0]])
    about_y = np.array([[c[1], 0.0, -s[1]], [0.0, 1.0, 0.0], [s[1], 0.0, c[1]]])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, c[2], s[2]], [0.0, -s[2], c[2]]])
    return about_z @ about_y @ about_x


def posed(rotation: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Pose [4, 4] of a rotation and an origin."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, origin
    return pose


def bend(top: np.ndarray, end: np.ndarray, upper_m: float, lower_m: float, towards: np.ndarray) -> np.ndarray:
    """The joint between two bones that reach from `top` to `end`, pushed out `towards` a direction.

    `end` must lie within upper_m + lower_m; farther ends are reached for with a straight limb.
    """
    way = end - top
    reach = np.clip(np.linalg.norm(way), abs(upper_m - lower_m) + 1e-6, upper_m + lower_m - 1e-9)
    along = way / np.linalg.norm(way)
    share = (upper_m**2 - lower_m**2 + reach**2) / (2 * reach)
    out = towards - (towards @ along) * along
    return top + share * along + np.sqrt(max(upper_m**2 - share**2, 0.0)) * out / np.linalg.norm(out)


def leg_poses(body: Body, side: str, hip: np.ndarray, foot: Foot, forward: np.ndarray) -> dict[str, np.ndarray]:
    """Thigh, shin, foot and toes; the knee points `forward`."""
    knee = bend(hip, foot.ankle, body.thigh_m, body.shin_m, forward)
    rotation = turned(foot.heading, foot.pitch)
    ball = foot.ankle + rotation @ [body.ball_m, 0.0, -body.ankle_m]
    return {
        f"thigh_{side}": frame(hip, hip - knee, forward),
        f"shin_{side}": frame(knee, knee - foot.ankle, forward),
        f"foot_{side}": posed(rotation, foot.ankle),
        f"toes_{side}": posed(turned(foot.heading, foot.toe_pitch), ball),
    }


def arm_poses(
    body: Body, side: str, shoulder: np.ndarray, wrist: np.ndarray, elbow_towards: np.ndarray, forward: np.ndarray
) -> dict[str, np.ndarray]:
    """Upper arm and forearm with its hand; a wrist out of reach is reached for."""
    limit = MAX_STRETCH * (body.upper_arm_m + body.forearm_m)
    way = wrist - shoulder
    wrist = shoulder + way * min(1.0, limit / np.linalg.norm(way))
    elbow = bend(shoulder, wrist, body.upper_arm_m, body.forearm_m, elbow_towards)
    return {
        f"upper_arm_{side}": frame(shoulder, shoulder - elbow, forward),
        f"forearm_{side}": frame(elbow, elbow - wrist, forward),
    }


def trunk_poses(
    body: Body, pelvis: np.ndarray, chest_rotation: np.ndarray, head_rotation: np.ndarray
) -> dict[str, np.ndarray]:
    """Pelvis (given), chest above the waist, head on the neck."""
    waist = at(pelvis, [0.0, 0.0, body.part(WAIST_ABOVE_HIPS)])
    chest = posed(chest_rotation, waist)
    return {
        "pelvis": pelvis,
        "chest": chest,
        "head": posed(head_rotation, at(chest, [0.0, 0.0, body.part(NECK_ABOVE_WAIST)])),
    }


def hip_joint(body: Body, poses: Mapping[str, np.ndarray], side: str) -> np.ndarray:
    """World position of a hip."""
    return at(poses["pelvis"], [0.0, SIDES[side] * body.part(HIP_HALF) * body.build, 0.0])


def shoulder_joint(body: Body, poses: Mapping[str, np.ndarray], side: str) -> np.ndarray:
    """World position of a shoulder."""
    y = SIDES[side] * body.part(SHOULDER_HALF) * body.build
    return at(poses["chest"], [0.0, y, body.part(SHOULDER_ABOVE_WAIST)])


def at(pose: np.ndarray, point: np.ndarray | list[float]) -> np.ndarray:
    """A point of a frame in the world."""
    return pose[:3, :3] @ np.asarray(point) + pose[:3, 3]
