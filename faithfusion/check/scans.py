"""Checks LiDAR against the poses: points near the ego, ground below, scans of two places on each other."""

from __future__ import annotations

import numpy as np

from faithfusion.check.evidence import SCAN_TRAVEL_M, Evidence
from faithfusion.check.findings import Finding, broken, name_frames, note, remark
from faithfusion.check.motion_faults import nearest_axis

# what the files may mean instead, and what to say then
READINGS = {
    "still": ("lidar", "points move against the ego as if they were in the world frame already"),
    "inverted": ("poses", "they are inverted (world to ego)"),
    "reversed": ("poses", "they and the scans run against each other in time"),
}
MAX_TILT_DEG = 20.0  # largest angle between the ego's z axis and the normal of the LiDAR's ground, degrees
MAX_SCAN_DISTANCE_M = 150.0  # half of the points farther from the ego than this: not in the ego frame, metres
SCAN_GAIN = 0.1  # a wrong reading of poses or points must match this share of the points better to be preferred
MIN_OTHER_MATCH = 0.6  # share of points found again with another reading, at least, to believe it
MIN_SCAN_MATCH = 0.4  # share of points found again below which it is doubtful whether poses and LiDAR agree
DOUBT_GAIN = 0.15  # the best of many motions must match this share of the points better to accuse the poses
LITTLE_MATCH = 0.2  # so few points found again tell nothing


def check_repeated_scans(evidence: Evidence) -> list[Finding]:
    """Finds scans that repeat the one before."""
    digests = evidence.scan_digests
    repeats = [t for t in evidence.scan_times if t > 0 and digests[t] == digests[t - 1]]
    return [remark("lidar", f"the scan repeats the one before at {name_frames(repeats)}")] if repeats else []


def check_scan_frame(evidence: Evidence) -> list[Finding]:
    """Finds scans far from the ego, and scans that fit each other only if poses or points are read in another way."""
    far = _check_distance(evidence)
    if far:
        return far
    match = evidence.scan_match
    if not match:
        return []
    best = max(READINGS, key=lambda name: match[name])
    if match[best] < MIN_OTHER_MATCH or match[best] < match["given"] + SCAN_GAIN:
        return []
    subject, text = READINGS[best]
    found = f"{match['given']:.0%} of the points are found again {SCAN_TRAVEL_M:g} m further on"
    return [broken(subject, f"{text} ({found}; {match[best]:.0%} if read so)")]


def check_scan_agreement(evidence: Evidence) -> list[Finding]:
    """Checks that the poses lay the scans of two places on each other, and that the LiDAR's ground is below."""
    if not evidence.scan_times:
        return []
    match = evidence.scan_match
    if not match:
        findings = [note("lidar", "no two scans to compare: the agreement with the poses is not checked")]
    else:
        found = f"{match['given']:.0%} of the points are found again {SCAN_TRAVEL_M:g} m further on"
        findings = [note("lidar", f"scans agree with the poses: {found}")]
        if match["given"] < MIN_SCAN_MATCH:
            findings = _check_doubtful(evidence, match["given"], found)
    return findings + _check_up(evidence)


def _check_doubtful(evidence: Evidence, given: float, found: str) -> list[Finding]:
    """Few points are found again: the poses are wrong only if other ones, not far from them, fit clearly better.
    Around a corner, behind hedges or among moving vehicles two scans have little in common."""
    best = evidence.scan_correction()
    change = f"{best.shift_m:.1f} m and {best.turn_deg:.0f} degrees elsewhere"
    if best.share >= given + DOUBT_GAIN:
        return [broken("lidar", f"scans and poses contradict each other: {found}, {best.share:.0%} about {change}")]
    if given < LITTLE_MATCH:
        return [
            remark("lidar", f"scans of two places have little in common: {found}; the poses are not checked by them")
        ]
    return [note("lidar", f"scans agree with the poses as well as with any close to them: {found}")]


def _check_distance(evidence: Evidence) -> list[Finding]:
    distances = [float(np.median(np.linalg.norm(evidence.points_ego(t), axis=1))) for t in evidence.sample_scans()]
    farthest = max(distances, default=0.0)
    if farthest <= MAX_SCAN_DISTANCE_M:
        return []
    text = f"points lie {farthest:.0f} m from the ego (median of a scan): not in the ego frame, or not in metres"
    return [broken("lidar", text)]


def _check_up(evidence: Evidence) -> list[Finding]:
    normals = [ground.normal for ground in evidence.grounds.values() if ground is not None]
    if not normals:
        return []
    tilts = [np.degrees(np.arccos(np.clip(normal[2], -1.0, 1.0))) for normal in normals]
    tilt = float(np.median(tilts))
    if tilt <= MAX_TILT_DEG:
        return []
    up = nearest_axis(normals[int(np.argsort(tilts)[len(tilts) // 2])])
    return [broken("poses", f"the LiDAR's ground faces the ego's {up} axis, {tilt:.0f} degrees from z: z is not up")]
