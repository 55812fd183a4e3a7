"""The map of a Waymo segment, which the v2 files lack, from the TFRecord file of the same segment (v1.4 or later).

Only these fields of the public schema are looked at (`waymo_open_dataset/dataset.proto`, `protos/map.proto`):

    Frame: 1 context, 2 timestamp_micros, 10 map_features (of the first frame alone), 11 map_pose_offset (of each)
    Context: 1 name      MapFeature: 4 road_line, 5 road_edge, 8 crosswalk
    RoadLine and RoadEdge: 2 polyline      Crosswalk: 1 polygon      points and offset: 1 x, 2 y, 3 z

A frame's offset leads from the world of its poses, which drifts, to the map's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faithfusion.data.drive_map import CROSSWALK, LEAST_POINTS, ROAD_EDGE, ROAD_LINE, DriveMap, MapLine
from faithfusion.data.waymo.tf_records import read_records
from faithfusion.data.waymo.wire_format import Value, read_doubles, read_fields, read_text
from faithfusion.utils.errors import InputError

CONTEXT, TIME, MAP_FEATURES, MAP_POSE_OFFSET = 1, 2, 10, 11
NAME = 1
LINE_FIELDS = {4: (ROAD_LINE, 2), 5: (ROAD_EDGE, 2), 8: (CROSSWALK, 1)}
"""By the feature's field: its kind, and the field of its points."""
XYZ = (1, 2, 3)


@dataclass(frozen=True)
class _Frame:
    segment: str
    time: int
    lines: list[MapLine]
    offset_m: tuple[float, ...]


def read_segment_map(path: Path, segment: str, times: Sequence[int]) -> DriveMap:
    """Returns the map of a segment, with its offset at each of `times` (microseconds, as in the v2 files).

    Raises InputError for a file that is missing, cut or damaged, of another segment, without map features in its first
    record, or without a record of one of `times`.
    """
    lines: list[MapLine] = []
    offsets: dict[int, tuple[float, ...]] = {}
    for number, record in enumerate(read_records(path)):
        frame = _read_frame(record, f"{path}, record {number}")
        if frame.segment != segment:
            raise InputError(path, f"segment {frame.segment}", f"segment {segment}")
        if number == 0:
            lines = frame.lines
        if not lines:
            raise InputError(path, "no map features in the first record", "a perception segment of v1.4 with its map")
        offsets[frame.time] = frame.offset_m
        if offsets.keys() >= set(times):
            return DriveMap(f"map features of {path.name}", tuple(lines), np.array([offsets[t] for t in times]))
    missing = [time for time in times if time not in offsets]
    raise InputError(path, f"{len(offsets)} records, none of time {missing[0]}", "one record for each time stamp")


def _read_frame(record: bytes, where: str) -> _Frame:
    segment, time, lines, offset = "", 0, [], (0.0, 0.0, 0.0)
    try:
        for number, value in read_fields(record):
            if number == CONTEXT:
                segment = next((read_text(name) for field, name in read_fields(value) if field == NAME), "")
            elif number == TIME:
                time = int(value)
            elif number == MAP_FEATURES:
                lines += _read_lines(value)
            elif number == MAP_POSE_OFFSET:
                offset = read_doubles(value, XYZ)
    except ValueError as error:
        raise InputError(where, f"cannot be read ({error})", "a frame of Waymo's perception data set") from None
    if not all(np.isfinite(points).all() for points in (offset, *(line.points_m for line in lines))):
        raise InputError(where, "a place on the map that is not finite", "metres")
    return _Frame(segment, time, lines, offset)


def _read_lines(feature: Value) -> list[MapLine]:
    """The line of one map feature; none for features of other kinds and for lines of too few points."""
    lines = []
    for number, value in read_fields(feature):
        if number in LINE_FIELDS:
            kind, points_field = LINE_FIELDS[number]
            points = [read_doubles(point, XYZ) for field, point in read_fields(value) if field == points_field]
            if len(points) >= LEAST_POINTS[kind]:
                lines.append(MapLine(kind, np.array(points)))
    return lines
