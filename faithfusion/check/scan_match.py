"""Lays scans of two places over each other: if the poses are right, what stands up in one is found in the other."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from faithfusion.data.calibration_text import invert_rigid

RANGE_M = 40.0  # of the scan's middle; farther out a scan is sparse
CELL_M = 3.0  # of the grid whose lowest point is the ground
OVER_GROUND_M = 0.4  # road and pavement look the same at every place; what stands up does not
MAX_QUERIES = 1500
FEW_QUERIES = 400  # where many motions are tried
SHIFTS_M = (-3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
TURNS_DEG = (-10.0, -6.0, -3.0, 0.0, 3.0, 6.0, 10.0)
TIE = 0.02  # shares that differ by less are equal
MIN_POINTS = 100

Pose = Float[np.ndarray, "4 4"]


def match_scans(
    here: Float[np.ndarray, "n 3"], there: Float[np.ndarray, "m 3"], pose_here: Pose, pose_there: Pose, within_m: float
) -> dict[str, float]:
    """Share of the upright points of one scan that another one has too, within `within_m` metres; empty for too few.

    Points are in the ego frame; poses are the ego's as the files have them. "given": read so; "still": points do not
    move with the ego; "inverted": poses are world to ego; "reversed": the ego moves the other way.
    """
    here, there = upright_points(here), upright_points(there)
    if min(len(here), len(there)) < MIN_POINTS:
        return {}
    there_from_here = invert_rigid(pose_there) @ pose_here
    motions = {
        "given": there_from_here,
        "still": np.eye(4),
        "inverted": pose_there @ invert_rigid(pose_here),
        "reversed": invert_rigid(there_from_here),
    }
    return {name: _found_again(here, there, motion, within_m) for name, motion in motions.items()}


class Correction(NamedTuple):
    """How the motion between two scans would have to change for the best match: by how far (m), by how much (degrees);
    and the share of points that is found again then."""

    shift_m: float
    turn_deg: float
    share: float


def best_correction(
    here: Float[np.ndarray, "n 3"], there: Float[np.ndarray, "m 3"], there_from_here: Pose, within_m: float
) -> Correction:
    """The best of `SHIFTS_M` in both directions of the ground and `TURNS_DEG` about the ego; the smallest if several
    match as well."""
    here, there = upright_points(here), upright_points(there)
    queries = here[:: max(1, len(here) // FEW_QUERIES)] @ there_from_here[:3, :3].T
    tree, best = cKDTree(there), Correction(0.0, 0.0, 0.0)
    changes = sorted(itertools.product(SHIFTS_M, SHIFTS_M, TURNS_DEG), key=lambda change: np.linalg.norm(change))
    for x, y, degrees in changes:
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turned = queries @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
        distance, _ = tree.query(turned + there_from_here[:3, 3] + [x, y, 0.0], distance_upper_bound=within_m)
        share = float(np.isfinite(distance).mean())
        if share > best.share + TIE:
            best = Correction(float(np.hypot(x, y)), abs(degrees), share)
    return best


def upright_points(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "m 3"]:
    """Points near the scan's middle that stand over the lowest point of their cell."""
    if not len(points):
        return points
    points = points[np.linalg.norm(points[:, :2] - np.median(points[:, :2], axis=0), axis=1) < RANGE_M]
    _, cell = np.unique(np.floor(points[:, :2] / CELL_M).astype(int), axis=0, return_inverse=True)
    lowest = np.full(cell.max(initial=0) + 1, np.inf)
    np.minimum.at(lowest, cell, points[:, 2])
    return points[points[:, 2] > lowest[cell] + OVER_GROUND_M]


def _found_again(here: np.ndarray, there: np.ndarray, there_from_here: np.ndarray, within_m: float) -> float:
    queries = here[:: max(1, len(here) // MAX_QUERIES)] @ there_from_here[:3, :3].T + there_from_here[:3, 3]
    distance, _ = cKDTree(there).query(queries, distance_upper_bound=within_m)
    return float(np.isfinite(distance).mean())
