"""Checks tracked boxes against LiDAR and against their own motion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from faithfusion.check.evidence import MAX_SPEED_M_S, MIN_TRAVEL_M, Evidence
from faithfusion.check.findings import Finding, Level, broken, count, note
from faithfusion.types import Track

VEHICLE_WORDS = ("vehicle", "car", "truck", "bus", "van", "tram", "cycl", "bike", "trailer")
MARGIN_M = 0.1  # labels are tight to about this
SKIRT_M = 0.25  # the lowest part of a box holds road
SURROUND_M = 1.5  # around a box: where its ground is looked for
GROUND_PERCENTILE = 10
MIN_GROUND_POINTS = 5
HALF_SLACK_M = 0.3
MIN_BOXES = 3  # fewer say nothing
BOX_RANGE_M = 30.0  # boxes farther from the ego than this are not compared with LiDAR, metres
MIN_BOX_POINTS = 3  # points that make a box seen
MIN_BOXES_SEEN = 0.4  # share of the near boxes that hold points
BOX_GAIN = 1.5  # another reading must hold LiDAR points in this many times as many boxes
MAX_BOX_GROUND_M = 0.45  # largest distance between the boxes' bottoms and the ground around them, metres
MAX_SWAPPED_SHARE = 0.5  # share of vehicles wider than long
MAX_BOX_COURSE_DEG = 45.0  # largest angle between a box's x axis and its motion, degrees
MAX_BOX_M = 30.0  # longest edge of a box, metres


@dataclass(frozen=True)
class _Box:
    """A box at one time stamp; `pose` is world_from_box."""

    time_index: int
    pose: Float[np.ndarray, "4 4"]
    size_m: Float[np.ndarray, " 3"]


def check_boxes(evidence: Evidence) -> list[Finding]:
    """Checks sizes and motion of all boxes, and compares the near ones with LiDAR."""
    if not evidence.clip.tracks:
        return []
    findings = _check_sizes(evidence) + _check_speed(evidence) + _check_course(evidence)
    boxes = sampled_boxes(evidence)
    if not boxes:
        return findings
    seen = _check_seen(evidence, boxes)
    is_off = any(finding.level is Level.BROKEN for finding in seen)
    return findings + seen + ([] if is_off else _check_ground(evidence, boxes))


def _check_sizes(evidence: Evidence) -> list[Finding]:
    findings = []
    sizes = {track.track_id: track.size_m.double().numpy() for track in evidence.clip.tracks}
    huge = [name for name, size in sizes.items() if size.max() > MAX_BOX_M]
    if huge:
        largest = float(sizes[huge[0]].max())
        text = f"{len(huge)} of {len(sizes)} are longer than {MAX_BOX_M:g} m (track {huge[0]}: {largest:.0f} m)"
        findings.append(broken("boxes", f"{text}: not in metres?"))
    vehicles = [sizes[track.track_id] for track in evidence.clip.tracks if is_vehicle(track)]
    wide = sum(bool(size[1] > size[0]) for size in vehicles)
    if wide and wide > MAX_SWAPPED_SHARE * len(vehicles):
        text = f"wider than long: {wide} of {count(len(vehicles), 'vehicle')}; sizes must be length, width, height"
        findings.append(broken("boxes", text))
    return findings


def is_vehicle(track: Track) -> bool:
    """Whether a track's class is something that drives along its length."""
    return any(word in track.class_name.lower() for word in VEHICLE_WORDS)


def _steps(track: Track) -> tuple[Float[np.ndarray, "n 3"], Int[np.ndarray, " n"]]:
    """(motion to the next box in the box's own axes, time steps between them)."""
    poses, times = track.world_from_box.double().numpy(), track.time_indices.numpy()
    return np.einsum("nij,ni->nj", poses[:-1, :3, :3], np.diff(poses[:, :3, 3], axis=0)), np.diff(times)


def _check_speed(evidence: Evidence) -> list[Finding]:
    fastest, which = 0.0, ""
    for track in evidence.clip.tracks:
        steps, gaps = _steps(track)
        speed = float((np.linalg.norm(steps, axis=1) / gaps).max(initial=0.0)) * evidence.clip.frame_rate_hz
        fastest, which = max((fastest, which), (speed, track.track_id))
    if fastest <= MAX_SPEED_M_S:
        return []
    return [broken("boxes", f"track {which} jumps: {fastest:.0f} m/s between two frames")]


def _check_course(evidence: Evidence) -> list[Finding]:
    """Moving vehicles move along their own x axis; a reversed heading turns every rendered car around."""
    angles = []
    for track in evidence.clip.tracks:
        way = _steps(track)[0].sum(0)
        if track.is_moving and is_vehicle(track) and np.linalg.norm(way) > MIN_TRAVEL_M:
            angles.append(np.degrees(np.arccos(way[0] / np.linalg.norm(way))))
    off = sum(angle > MAX_BOX_COURSE_DEG for angle in angles)
    if not off or 2 * off <= len(angles):
        return []
    of_all = f"{off} of {count(len(angles), 'moving vehicle')}"
    return [broken("boxes", f"wrong heading: {of_all} drive {np.median(angles):.0f} degrees off their x axis")]


def sampled_boxes(evidence: Evidence) -> list[_Box]:
    """All boxes at the sampled scans."""
    return [
        _Box(t, track.world_from_box[i].double().numpy(), track.size_m.double().numpy())
        for t in evidence.sample_scans()
        for track in evidence.clip.tracks
        for i in np.flatnonzero(track.time_indices.numpy() == t)
    ]


def _check_seen(evidence: Evidence, boxes: list[_Box]) -> list[Finding]:
    dataset_from_clip = evidence.dataset_poses[0]  # the clip's world is the first ego frame
    world_from_ego = evidence.clip.world_from_ego.double().numpy()
    near, held = count_held(evidence, boxes)
    as_ego = [replace(box, pose=world_from_ego[box.time_index] @ dataset_from_clip @ box.pose) for box in boxes]
    _, held_as_ego = count_held(evidence, as_ego)
    text = f"{held} of {count(near, 'box')} within {BOX_RANGE_M:g} m hold LiDAR points"
    if held_as_ego >= MIN_BOXES and held_as_ego > BOX_GAIN * held:
        return [broken("boxes", f"{text}, {held_as_ego} with poses read as box to ego: they must be box to world")]
    if near < MIN_BOXES:
        return [note("boxes", f"{count(near, 'box')} within {BOX_RANGE_M:g} m: too few to compare with LiDAR")]
    if held < MIN_BOXES_SEEN * near:
        return [broken("boxes", f"{text}: they are not where LiDAR sees objects")]
    return [note("boxes", text)]


def count_held(evidence: Evidence, boxes: list[_Box]) -> tuple[int, int]:
    """(boxes within `BOX_RANGE_M` of the ego, those of them that hold LiDAR points)."""
    positions = evidence.positions
    near = [box for box in boxes if np.linalg.norm(box.pose[:3, 3] - positions[box.time_index]) < BOX_RANGE_M]
    return len(near), sum(_num_inside(evidence, box) >= MIN_BOX_POINTS for box in near)


def _local_points(evidence: Evidence, box: _Box) -> Float[np.ndarray, "n 3"]:
    return (evidence.points_world(box.time_index).double().numpy() - box.pose[:3, 3]) @ box.pose[:3, :3]


def _num_inside(evidence: Evidence, box: _Box) -> int:
    local = _local_points(evidence, box)
    low, high = -0.5 * box.size_m - MARGIN_M, 0.5 * box.size_m + MARGIN_M
    low[2] = -0.5 * box.size_m[2] + SKIRT_M
    return int(((local > low) & (local < high)).all(1).sum())


def ground_offset_m(evidence: Evidence, box: _Box) -> float | None:
    """Height of the box's bottom over the LiDAR's ground beside it, metres; None where there are no points."""
    local = _local_points(evidence, box)
    half = 0.5 * box.size_m[:2]
    around = (np.abs(local[:, :2]) < half + SURROUND_M).all(1) & ~(np.abs(local[:, :2]) < half + MARGIN_M).all(1)
    around &= np.abs(local[:, 2]) < 2.0 * box.size_m[2]
    if around.sum() < MIN_GROUND_POINTS:
        return None
    return float(-0.5 * box.size_m[2] - np.percentile(local[around, 2], GROUND_PERCENTILE))


def _check_ground(evidence: Evidence, boxes: list[_Box]) -> list[Finding]:
    known = [offset for box in boxes if (offset := ground_offset_m(evidence, box)) is not None]
    if len(known) < MIN_BOXES:
        return []
    middle = float(np.median(known))
    if abs(middle) <= MAX_BOX_GROUND_M:
        return []
    half = float(np.median([0.5 * box.size_m[2] for box in boxes]))
    why = ": the origin must be the box's centre, not its bottom" if abs(middle + half) < HALF_SLACK_M else ""
    where = "under" if middle < 0 else "over"
    return [broken("boxes", f"their bottoms lie {abs(middle):.2f} m {where} the ground (median of {len(known)}){why}")]
