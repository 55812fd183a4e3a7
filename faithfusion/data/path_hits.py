"""Finds where a new path runs into what the drive recorded: tracked boxes and things that stand on the ground.

Such a path is not refused: a picture from inside a facade is of no use, but whoever asked for it may know better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from faithfusion.data.lidar import load_points_world
from faithfusion.data.new_path import NewPath, driven_m
from faithfusion.types import DriveClip, Track

EGO_REAR_M, EGO_FRONT_M, EGO_WIDTH_M, EGO_HEIGHT_M = 1.0, 3.8, 2.0, 1.9
"""The outline of a car around the ego's origin, which is near the rear axle in most data sets."""
MIN_HEIGHT_M = 0.3
"""What is lower above the ground does not block the way; kerbs are lower."""
MIN_POINTS = 5
"""If a scan has fewer high points in the car's way, they are rain, dust or noise."""
GROUND_MARGIN_M, GROUND_CELL_M, GROUND_BAND_M = 3.0, 1.0, 0.15
"""The ground is a plane under the lowest points of the cells within this margin of the car; what rises higher above it
than the band does not carry it."""
MIN_GROUND_CELLS = 4
"""Fewer cells do not make a plane; then the ground is as high as the lowest point."""
SELF_MARGIN_M = 0.5
"""Returns this near to the recording car are its own mirrors and roof."""
BOX_MARGIN_M = 0.3
"""Points this near to a tracked box belong to it."""
MAX_GAP = 3
"""Two hits of the same thing belong to one stretch if at most so many time stamps lie between them."""
MAX_LISTED = 5


@dataclass(frozen=True)
class PathHit:
    """One thing in the way, and the stretch of the recorded drive, in metres, at which the new path meets it."""

    what: str
    from_m: float
    to_m: float


def path_hits(clip: DriveClip, path: NewPath) -> tuple[PathHit, ...]:
    """Tracked boxes that a car on the new path would touch, and LiDAR points within its outline that are more than
    `MIN_HEIGHT_M` above the ground, ordered by where they begin.

    Points come from the scan of the same time stamp, so moving things count where they are then. A raised path is a
    taller car, not one that flies. What the LiDAR or the labels do not show is not found.
    """
    poses, along = path.world_from_ego(), driven_m(path.recorded)
    raised_m = path.offsets()[:, 1].clip(min=0.0)
    hits = [hit for track in clip.tracks for hit in _track_hits(track, poses, along)]
    heights = [_obstacle_m(clip, path.recorded[t], poses[t], raised_m[t], t) for t in range(clip.num_frames)]
    for first, last in _stretches(np.isfinite(heights)):
        height = np.nanmax(heights[first : last + 1])
        hits.append(PathHit(f"over points up to {height:.1f} m above the ground", along[first], along[last]))
    return tuple(sorted(hits, key=lambda hit: hit.from_m))


def warning_line(hits: Sequence[PathHit]) -> str:
    """All hits in one sentence; the first `MAX_LISTED` of many."""
    shown = [f"{hit.what} {_stretch_text(hit)}" for hit in hits[:MAX_LISTED]]
    more = f"; {len(hits) - MAX_LISTED} more" if len(hits) > MAX_LISTED else ""
    return f"The new path passes {'; '.join(shown)}{more}."


def _stretch_text(hit: PathHit) -> str:
    first, last = f"{hit.from_m:.0f}", f"{hit.to_m:.0f}"
    return f"at {first} m driven" if first == last else f"from {first} to {last} m driven"


def ego_outline(world_from_ego: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 2"]:
    """Corners of the car on the ground plan, in order."""
    half = EGO_WIDTH_M / 2
    corners = [[-EGO_REAR_M, -half], [EGO_FRONT_M, -half], [EGO_FRONT_M, half], [-EGO_REAR_M, half]]
    return np.array(corners) @ world_from_ego[:2, :2].T + world_from_ego[:2, 3]


def box_outline(track: Track, index: int) -> Float[np.ndarray, "4 2"]:
    """Corners of a track's box on the ground plan at `time_indices[index]`, in order."""
    pose = track.world_from_box[index].double().numpy()
    length, width = 0.5 * track.size_m[:2].double().numpy()
    corners = np.array([[-length, -width], [length, -width], [length, width], [-length, width]])
    return corners @ pose[:2, :2].T + pose[:2, 3]


def outlines_overlap(first: Float[np.ndarray, "4 2"], second: Float[np.ndarray, "4 2"]) -> bool:
    """Whether two rectangles share an area: then no edge of either separates them (separating axis theorem)."""
    for outline in (first, second):
        for edge in (outline[1] - outline[0], outline[2] - outline[1]):
            normal = np.array([-edge[1], edge[0]])
            a, b = first @ normal, second @ normal
            if a.max() <= b.min() or b.max() <= a.min():
                return False
    return True


def box_index(track: Track, t: int) -> int | None:
    """Which of a track's boxes stands there at time stamp t, or None; a parked object stays where it was last seen."""
    times = track.time_indices.numpy()
    nearest = int(np.abs(times - t).argmin())
    return nearest if times[nearest] == t or not track.is_moving else None


def _track_hits(track: Track, poses: Float[np.ndarray, "t 4 4"], along_m: Float[np.ndarray, " t"]) -> Iterator[PathHit]:
    touched = np.zeros(len(poses), dtype=bool)
    reach_m = EGO_REAR_M + EGO_FRONT_M + float(track.size_m[:2].norm())
    for t, pose in enumerate(poses):
        index = box_index(track, t)
        if index is None or np.hypot(*(track.world_from_box[index, :2, 3].numpy() - pose[:2, 3])) > reach_m:
            continue
        touched[t] = outlines_overlap(ego_outline(pose), box_outline(track, index))
    for first, last in _stretches(touched):
        yield PathHit(f"through {track.class_name} {track.track_id}", along_m[first], along_m[last])


def _stretches(flags: Bool[np.ndarray, " t"]) -> Iterator[tuple[int, int]]:
    """First and last index of every run of hits."""
    indices = np.flatnonzero(flags)
    for run in np.split(indices, np.flatnonzero(np.diff(indices) > MAX_GAP) + 1):
        if len(run):
            yield int(run[0]), int(run[-1])


def _obstacle_m(
    clip: DriveClip, recorded: Float[np.ndarray, "4 4"], pose: Float[np.ndarray, "4 4"], raised_m: float, t: int
) -> float:
    """Height above the ground of the highest point in the car's way at one time stamp; NaN if the way is free."""
    world = load_points_world(clip, t).double().numpy()
    world = world[~_inside_car(_into(recorded, world), SELF_MARGIN_M)]
    points = _into(pose, world)
    near = _inside_car(points, GROUND_MARGIN_M)
    points, world = points[near], world[near]
    inside = _inside_car(points, 0.0)
    if inside.sum() < MIN_POINTS:
        return np.nan
    height = _above_ground_m(points)
    blocking = inside & (height > MIN_HEIGHT_M) & (height < EGO_HEIGHT_M + raised_m)
    for track in clip.tracks if blocking.sum() >= MIN_POINTS else ():
        index = box_index(track, t)
        if index is not None:
            blocking[blocking] = ~_inside_box(track, index, world[blocking])
    return float(height[blocking].max()) if blocking.sum() >= MIN_POINTS else np.nan


def _above_ground_m(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Heights above a plane through the lowest points: fitted to one per cell, then without those that lie above it,
    until only the ground is left (walls, cars and hedges rise above it; roads slope)."""
    column, row = np.floor(points[:, :2] / GROUND_CELL_M).astype(int).T
    cells = 1000 * column + row
    order = np.lexsort((points[:, 2], cells))
    lowest = points[order[np.unique(cells[order], return_index=True)[1]]]
    if len(lowest) < MIN_GROUND_CELLS:
        return points[:, 2] - lowest[:, 2].min()
    while True:
        plane = np.linalg.lstsq(_plane_terms(lowest), lowest[:, 2], rcond=None)[0]
        kept = lowest[:, 2] - _plane_terms(lowest) @ plane < GROUND_BAND_M
        if kept.all() or kept.sum() < MIN_GROUND_CELLS:
            return points[:, 2] - _plane_terms(points) @ plane
        lowest = lowest[kept]


def _plane_terms(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    return np.concatenate([points[:, :2], np.ones((len(points), 1))], axis=1)


def _into(world_from_frame: Float[np.ndarray, "4 4"], points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    return (points - world_from_frame[:3, 3]) @ world_from_frame[:3, :3]


def _inside_car(points: Float[np.ndarray, "n 3"], margin_m: float) -> Bool[np.ndarray, " n"]:
    x, y = points[:, 0], points[:, 1]
    return (x > -EGO_REAR_M - margin_m) & (x < EGO_FRONT_M + margin_m) & (np.abs(y) < EGO_WIDTH_M / 2 + margin_m)


def _inside_box(track: Track, index: int, world: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    points = _into(track.world_from_box[index].double().numpy(), world)
    return (np.abs(points) < 0.5 * track.size_m.double().numpy() + BOX_MARGIN_M).all(-1)
