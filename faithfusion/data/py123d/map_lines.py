"""The lines of a py123d map near a drive's path. Maps lie in the world of the log's poses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from faithfusion.data.drive_map import CROSSWALK, LEAST_POINTS, ROAD_EDGE, ROAD_LINE, DriveMap, MapLine

LAYERS = (ROAD_EDGE, ROAD_LINE, CROSSWALK)
"""py123d's names of the layers are those of our kinds of lines."""
REACH_M = 120.0
STRIDE_M = 20.0
UNPAINTED = "NONE"
"""The type of a line that only divides lanes: nobody painted it."""


def read_log_map(scene: Any, iterations: Sequence[int]) -> tuple[DriveMap | None, str]:
    """(the lines within about 120 m of the path, what to say of them). None if the log has no map, or one without
    heights, which cannot be projected into pictures."""
    api = scene.get_map_api()
    if api is None:
        return None, "the log has no map"
    if not api.map_has_z:
        return None, "the log's map has no heights, so its lines are left out"
    found: dict[tuple[str, Any], MapLine] = {}
    for pose in _stations([scene.get_ego_state_se3_at_iteration(iteration).rear_axle_se3 for iteration in iterations]):
        for layer, objects in api.get_map_objects_in_radius(pose.point_2d, REACH_M, list(LAYERS)).items():
            kind = layer.serialize()
            for thing in objects:
                points = _points(kind, thing)
                if len(points) >= LEAST_POINTS[kind]:
                    found[kind, thing.object_id] = MapLine(kind, points)
    return DriveMap(f"map of {api.dataset} in py123d", tuple(found.values())), f"{len(found)} lines of the log's map"


def _stations(poses: Sequence[Any]) -> list[Any]:
    """The first pose, and each that is 20 m or more from the one before."""
    kept: list[Any] = []
    for pose in poses:
        if not kept or np.hypot(pose.x - kept[-1].x, pose.y - kept[-1].y) >= STRIDE_M:
            kept.append(pose)
    return kept


def _points(kind: str, thing: Any) -> np.ndarray:
    """[n, 3] of a map object; no points of a line that nobody painted."""
    if kind == ROAD_LINE and thing.road_line_type.name == UNPAINTED:
        return np.zeros((0, 3))
    points = np.asarray((thing.outline_3d if kind == CROSSWALK else thing.polyline_3d).array, dtype=np.float64)[:, :3]
    return points[:-1] if kind == CROSSWALK and np.array_equal(points[0], points[-1]) else points
