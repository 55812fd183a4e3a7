"""Checks the ego's way by itself: its speed, jumps, and its direction against the ego's own axes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from faithfusion.check.evidence import MAX_SPEED_M_S, MIN_TRAVEL_M, STANDING_M, Evidence
from faithfusion.check.findings import Finding, broken, name_frames, note, remark
from faithfusion.check.order import exchanged, moves_around

AXES = {"+x (forward)": (1, 0, 0), "-x (backward)": (-1, 0, 0), "+y (left)": (0, 1, 0), "-y (right)": (0, -1, 0),
        "+z (up)": (0, 0, 1), "-z (down)": (0, 0, -1)}  # fmt: skip
POSE_ORDER_RATIO = 0.8  # exchanging two places makes the way past them shorter than this share: they are out of order
MAX_ACCELERATION_M_S2 = 30.0  # larger changes of velocity are jumps of the pose, metres per square second
MIN_JUMP_M = 0.3  # smaller deviations from even motion are odometry noise, metres
BROKEN_JUMP_M = 1.0  # changes of the ego's step that no fit can bear, metres
MAX_TURN_DEG_S = 120.0  # no road vehicle turns faster, degrees per second
MAX_COURSE_DEG = 30.0  # largest angle between the ego's x axis and its motion, degrees
MAX_REVERSE_M_S = 4.0  # no road vehicle drives backwards faster, metres per second


def check_steps(evidence: Evidence) -> list[Finding]:
    """Finds time stamps out of order, implausible speed, and jumps of place or heading."""
    if evidence.clip.num_frames < 2:
        return [note("poses", "one frame only: motion cannot be checked")]
    return _check_order(evidence) or _check_speed(evidence) or _check_jumps(evidence) + _check_turns(evidence)


def pose_order_marks(evidence: Evidence) -> Bool[np.ndarray, " t"]:
    """Marks the frames whose places are out of order."""
    marks = exchanged(evidence.positions[:, None], POSE_ORDER_RATIO)
    return marks & moves_around(evidence.steps_m, 4 * STANDING_M)


def _check_order(evidence: Evidence) -> list[Finding]:
    frames = np.flatnonzero(pose_order_marks(evidence)).tolist()
    return [broken("poses", f"time stamps out of order at {name_frames(frames)}")] if frames else []


def speeds_m_s(evidence: Evidence) -> Float[np.ndarray, " t_minus_1"]:
    """Speed from each frame to the next, metres per second."""
    return evidence.steps_m / evidence.steps_s


def _check_speed(evidence: Evidence) -> list[Finding]:
    speed, limit = float(np.median(speeds_m_s(evidence))), MAX_SPEED_M_S
    if speed <= limit:
        return []
    rate = evidence.clip.frame_rate_hz
    text = f"median speed {speed:.0f} m/s at {rate:g} frames per second, above {limit:g} m/s: wrong unit or frame rate"
    return [broken("poses", text)]


def jump_frames(evidence: Evidence) -> list[int]:
    """Frames whose place departs from even motion between their neighbours by more than a vehicle can."""
    bend_m = np.linalg.norm(_bends_m(evidence), axis=1)
    seconds = evidence.steps_s
    bad = bend_m > np.maximum(MAX_ACCELERATION_M_S2 * seconds[1:] * seconds[:-1], MIN_JUMP_M)
    # one wrong place bends the way at three frames, the middle one most
    peak = bad & (bend_m >= np.append(0, bend_m[:-1])) & (bend_m >= np.append(bend_m[1:], 0))
    return (np.flatnonzero(peak) + 1).tolist()


def _bends_m(evidence: Evidence) -> Float[np.ndarray, "t_minus_2 2"]:
    """By how much each step of the ego differs from the one before at the same duration, metres. First what frames that
    were left out and uneven time stamps explain: the ego goes on the same way, farther or less far. Then the rest: to
    the side, or backwards."""
    steps, seconds = np.diff(evidence.positions, axis=0), evidence.steps_s[:, None]
    change = (steps[1:] / seconds[1:] - steps[:-1] / seconds[:-1]) * (seconds[1:] + seconds[:-1]) / 2.0
    way = steps[1:] + steps[:-1]
    ahead = way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
    forward = ((steps[1:] * ahead).sum(1) > 0.0) & ((steps[:-1] * ahead).sum(1) > 0.0)
    along = np.where(forward, np.abs((change * ahead).sum(1)), 0.0)
    rest = np.sqrt(np.maximum((change**2).sum(1) - along**2, 0.0))
    return np.stack([along, rest], axis=1)


def _check_jumps(evidence: Evidence) -> list[Finding]:
    frames = jump_frames(evidence)
    if not frames:
        return []
    largest = float(evidence.steps_m.max())
    usual = float(np.median(evidence.steps_m))
    sizes = f"(largest step {largest:.2f} m, usual {usual:.2f} m)"
    along_m, rest_m = _bends_m(evidence)[np.array(frames) - 1].max(0)
    if rest_m > BROKEN_JUMP_M:
        return [broken("poses", f"the ego's place jumps at {name_frames(frames)} {sizes}")]
    if along_m > rest_m:
        why = "frames left out, or uneven times (times_s in layout.json)"
        return [remark("poses", f"the ego's steps are uneven at {name_frames(frames)} {sizes}: {why}")]
    return [remark("poses", f"the ego's place jumps at {name_frames(frames)} {sizes}")]


def _check_turns(evidence: Evidence) -> list[Finding]:
    rotations = evidence.clip.world_from_ego[:, :3, :3].double().numpy()
    between = np.einsum("tij,tik->tjk", rotations[:-1], rotations[1:])
    angle_deg = np.degrees(np.arccos(np.clip((np.trace(between, axis1=1, axis2=2) - 1.0) / 2.0, -1.0, 1.0)))
    fast = np.flatnonzero(angle_deg / evidence.steps_s > MAX_TURN_DEG_S)
    if not len(fast):
        return []
    return [
        broken("poses", f"the ego turns by {angle_deg.max():.0f} degrees within one frame at {name_frames(fast + 1)}")
    ]


def mean_course(evidence: Evidence) -> Float[np.ndarray, " 3"] | None:
    """Mean direction of motion in the ego's own axes, unit length; None for a drive too short to tell."""
    rotations = evidence.clip.world_from_ego[:-1, :3, :3].double().numpy()
    in_ego = np.einsum("tij,ti->tj", rotations, np.diff(evidence.positions, axis=0))
    total = in_ego.sum(0)
    length = float(np.linalg.norm(total))
    return total / length if length > MIN_TRAVEL_M else None


def nearest_axis(direction: Float[np.ndarray, " 3"]) -> str:
    """Name of the ego axis closest to a direction."""
    return max(AXES, key=lambda name: float(np.dot(AXES[name], direction)))


def course_error_deg(direction: Float[np.ndarray, " 3"]) -> float:
    """Angle between a direction of motion and the ego's x axis, degrees; 180 for driving backwards."""
    return float(np.degrees(np.arccos(np.clip(direction[0], -1.0, 1.0))))


def check_course(evidence: Evidence) -> list[Finding]:
    """Checks that the ego moves along its own x axis."""
    course = mean_course(evidence)
    if course is None:
        travel = float(evidence.steps_m.sum())
        text = f"the ego moves {travel:.2f} m only: nothing is seen from a second place, motion cannot be checked"
        return [remark("poses", text)]
    angle = course_error_deg(course)
    if angle <= MAX_COURSE_DEG:
        return []
    axis = nearest_axis(course)
    if axis.startswith("-x") and np.median(speeds_m_s(evidence)) < MAX_REVERSE_M_S:
        return [remark("poses", "the ego drives backwards, or its x axis points backwards")]
    why = "inverted poses, or x not forward" if axis.startswith("-x") else "wrong axes of the ego or of the world"
    text = f"the ego moves along its {axis} axis, {angle:.0f} degrees from x (forward): {why}"
    return [broken("poses", text)]
