"""The lines of a drive's map, in one JSON file of its folder: what `prepare_waymo` and `prepare_py123d` write.

    map_lines.json: {"source": "...", "lines": [{"kind": "road_edge", "points_m": [[x, y, z], ...]}, ...],
                     "offsets_m": [[x, y, z], ...]}

Needs numpy only, so that it works in py123d's environment.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError
from faithfusion.utils.json_files import read_json

MAP_FILE = "map_lines.json"
ROAD_EDGE, ROAD_LINE, CROSSWALK = KINDS = ("road_edge", "road_line", "crosswalk")
LEAST_POINTS = {ROAD_EDGE: 2, ROAD_LINE: 2, CROSSWALK: 3}
DIGITS = 3  # millimetres


@dataclass(frozen=True)
class MapLine:
    """One line. A crosswalk's is its outline, whose last point leads back to the first without repeating it."""

    kind: str
    points_m: np.ndarray  # [n, 3] float64


@dataclass(frozen=True)
class DriveMap:
    """The lines of a map, in the world of the drive's `ego_pose` files but for a drift.

    Attributes:
        source: What the lines were read from, for tables.
        lines: The lines.
        offsets_m: Where the recorded poses drift, the map does not go along: [t, 3], what must be added at each time
            stamp to a point in the poses' world to reach the map. None if the poses do not drift.
    """

    source: str
    lines: tuple[MapLine, ...]
    offsets_m: np.ndarray | None = None


def write_drive_map(folder: Path, drive_map: DriveMap) -> None:
    """Writes the file into the folder of a drive, to the millimetre."""
    lines = [{"kind": line.kind, "points_m": np.round(line.points_m, DIGITS).tolist()} for line in drive_map.lines]
    content: dict[str, Any] = {"source": drive_map.source, "lines": lines}
    if drive_map.offsets_m is not None:
        content["offsets_m"] = drive_map.offsets_m.tolist()
    with atomic_file(folder / MAP_FILE) as temporary:
        temporary.write_text(json.dumps(content))


def read_drive_map(folder: Path) -> DriveMap | None:
    """The map of a drive; None if it has no file of lines. InputError for a damaged file."""
    path = Path(folder) / MAP_FILE
    if not path.is_file():
        return None
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("lines"), list):
        raise InputError(path, "no list of lines", "a file of lines, as docs/data.md describes it")
    lines = tuple(_read_line(f"{path}, line {number}", entry) for number, entry in enumerate(content["lines"]))
    offsets = content.get("offsets_m")
    if offsets is not None:
        offsets = _read_points(f"{path}, offsets_m", offsets, 1)
    return DriveMap(str(content.get("source", MAP_FILE)), lines, offsets)


def _read_line(where: str, entry: Any) -> MapLine:
    if not isinstance(entry, dict) or entry.get("kind") not in KINDS:
        raise InputError(where, f"{str(entry)[:60]}", f"a line of kind {', '.join(KINDS)}")
    return MapLine(entry["kind"], _read_points(where, entry.get("points_m"), LEAST_POINTS[entry["kind"]]))


def _read_points(where: str, values: Any, least: int) -> np.ndarray:
    try:
        points = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < least or not np.isfinite(points).all():
        raise InputError(where, f"{str(values)[:60]}", f"{least} or more points of three finite numbers")
    return points
