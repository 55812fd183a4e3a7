"""Finds the road around the ego in a LiDAR scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

NEAR_M, FAR_M = 3.0, 15.0  # points used: not the ego's own body, not where the road may bend or slope
MIN_POINTS, MAX_POINTS = 100, 4000
PLANE_TRIES, PLANE_SLACK_M = 200, 0.15
PLANE_SHARE = 0.25  # of the points around the ego that lie on the ground, at least


@dataclass(frozen=True)
class Ground:
    """The plane of the road around the ego, in its frame: unit normal (away from the ground) and height of z = 0
    over it, metres."""

    normal: Float[np.ndarray, " 3"]
    height_m: float


def find_ground(points: Float[np.ndarray, "n 3"]) -> Ground | None:
    """The plane that holds most of the points within 15 m (RANSAC, Fischler and Bolles 1981); None if it holds too few.

    Facades are planes too: of planes that hold nearly as many points the one below most other points is taken.
    """
    distance = np.linalg.norm(points, axis=1)
    near = points[(distance > NEAR_M) & (distance < FAR_M)]
    if len(near) < MIN_POINTS:
        return None
    near = near[:: max(1, len(near) // MAX_POINTS)]
    rng = np.random.default_rng(0)
    best, best_score = None, 0.0
    for _ in range(PLANE_TRIES):
        a, b, c = near[rng.choice(len(near), 3, replace=False)]
        normal = np.cross(b - a, c - a)
        if (length := np.linalg.norm(normal)) < 1e-6:
            continue
        normal = normal / length
        offset = near @ normal - a @ normal
        if np.median(offset) < 0:
            normal, offset = -normal, -offset
        on, below = np.abs(offset) < PLANE_SLACK_M, offset < -PLANE_SLACK_M
        score = on.mean() - 2.0 * below.mean()
        if score > best_score and on.mean() > PLANE_SHARE:
            best, best_score = Ground(normal, float(-(a @ normal))), score
    return best
