"""Ways that people take over the ground, measured along the way, with the height of what they step on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faithfusion.street.road import KERB_HEIGHT_M
from faithfusion.street.street_plan import StreetPlan

STEP_M = 0.05
RUN_OUT_M = 2.0  # of way before the first corner and behind the last one, for feet that reach past the body
RAMP_M = 0.7  # a body goes over a kerb within this length


@dataclass(frozen=True, eq=False)
class Course:
    """A way, sampled about every STEP_M; `distance_m` is the length in the world, 0 at the first corner."""

    distance_m: np.ndarray  # [n]
    road: np.ndarray  # [n, 2] s, lateral
    points: np.ndarray  # [n, 2] world x, y
    headings: np.ndarray  # [n] radians, continuous
    ground_m: np.ndarray  # [n] height of the ground

    @property
    def length_m(self) -> float:
        """Length of the way from the first corner to the last one, metres."""
        return float(self.distance_m[-1]) - RUN_OUT_M

    def at(self, distance: float | np.ndarray) -> np.ndarray:
        """World x, y [..., 2] at a distance."""
        return np.stack([np.interp(distance, self.distance_m, self.points[:, k]) for k in range(2)], -1)

    def road_at(self, distance: float | np.ndarray) -> np.ndarray:
        """Road coordinates (s, lateral) [..., 2] at a distance."""
        return np.stack([np.interp(distance, self.distance_m, self.road[:, k]) for k in range(2)], -1)

    def heading(self, distance: float) -> float:
        """Direction of the way, radians in the world."""
        return float(np.interp(distance, self.distance_m, self.headings))

    def ground(self, distance: float | np.ndarray) -> np.ndarray | np.float64:
        """Height of the ground in metres, with the kerb's edge."""
        return np.interp(distance, self.distance_m, self.ground_m)

    def floor(self, distance: float) -> float:
        """Height of the ground with ramps in place of kerbs: what a body's height goes by."""
        return float(self.ground(distance + RAMP_M * np.linspace(-0.5, 0.5, 15)).mean())


def plan_course(plan: StreetPlan, corners: Sequence[tuple[float, float]], rounding_m: float = 1.0) -> Course:
    """The way along straight lines between `corners` (s, lateral); corners are rounded over about `rounding_m`."""
    road = _rounded(_resampled(_run_out(np.asarray(corners, float))), rounding_m)
    points = plan.centreline.at(road[:, 0], road[:, 1])[:, :2]
    distance = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]) - RUN_OUT_M
    along = np.gradient(points, axis=0)
    headings = np.unwrap(np.arctan2(along[:, 1], along[:, 0]))
    return Course(distance, road, points, headings, ground_height(plan, road[:, 0], road[:, 1]))


def ground_height(plan: StreetPlan, s: np.ndarray, lateral: np.ndarray) -> np.ndarray:
    """Height in metres of the carriageway (0), or of the pavements beside it, at road coordinates [n]."""
    height = np.zeros(len(s))
    for side in plan.sides:
        on_pavement = side.sign * lateral >= side.kerb_m
        for start, end in side.side_streets:
            on_pavement &= ~((s > start) & (s < end))
        height[on_pavement] = KERB_HEIGHT_M
    return height


def _run_out(corners: np.ndarray) -> np.ndarray:
    """Moves the two ends outwards along their lines."""
    first, last = corners[0] - corners[1], corners[-1] - corners[-2]
    out = corners.copy()
    out[0] += RUN_OUT_M * first / np.linalg.norm(first)
    out[-1] += RUN_OUT_M * last / np.linalg.norm(last)
    return out


def _resampled(corners: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    positions = np.linspace(0, at[-1], int(np.ceil(at[-1] / STEP_M)) + 1)
    return np.stack([np.interp(positions, at, corners[:, k]) for k in range(2)], -1)


def _rounded(samples: np.ndarray, rounding_m: float) -> np.ndarray:
    """A running mean; the ends, where the way is straight, are continued by reflection so that they stay in place."""
    half = max(1, int(0.5 * rounding_m / STEP_M))
    kernel = np.hanning(4 * half + 3)[1:-1]
    kernel /= kernel.sum()
    reach = len(kernel) // 2
    before = 2 * samples[0] - samples[reach:0:-1]
    behind = 2 * samples[-1] - samples[-2 : -2 - reach : -1]
    extended = np.concatenate([before, samples, behind])
    return np.stack([np.convolve(extended[:, k], kernel, mode="valid") for k in range(2)], -1)
