"""The lines of a street as a map would hold them: painted lines, kerbs, and the sides of zebra crossings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from faithfusion.config import from_plain
from faithfusion.street.road import open_ranges
from faithfusion.street.street_config import StreetConfig
from faithfusion.street.street_plan import S_START, Marking, StreetPlan
from faithfusion.street.writer import FACTS
from faithfusion.utils.errors import InputError
from faithfusion.utils.json_files import read_json

STEP_M = 1.0
CROSSING_MARGIN_M = 0.5  # from the end of a crossing's bars to the nearer kerb, as they are painted


def read_street_config(root: Path) -> StreetConfig:
    """Returns the configuration that a street was made with. Raises InputError if the folder is no street."""
    path = Path(root) / FACTS
    if not path.is_file():
        raise InputError(path, "no such file", "a street of `make_street.py`")
    stored = read_json(path)["config"]
    names = {field.name for field in dataclasses.fields(StreetConfig)} & stored.keys()
    return from_plain(StreetConfig, {name: stored[name] for name in names}, path)


def road_lines(plan: StreetPlan) -> list[np.ndarray]:
    """Returns polylines [n, 3] in metres in the world of the street's files.

    A dashed line is one line from one gap to the next, as in maps. Kerbs end at side streets. Of a zebra crossing there
    are the two sides across the road. Arrows are none of the lines.
    """
    line = plan.centreline
    lines = []
    for marking in plan.markings:
        lines += [line.at(_steps(*painted), marking.lateral_m) for painted in painted_ranges(marking, plan.s_end)]
    for side in plan.sides:
        ranges = open_ranges(side, plan.s_end)
        lines += [line.at(_steps(*between), side.sign * side.kerb_m) for between in ranges]
    half = min(side.kerb_m for side in plan.sides) - CROSSING_MARGIN_M
    lines += [line.at(s, _steps(-half, half)) for crossing in plan.crossings for s in crossing]
    return lines


def painted_ranges(marking: Marking, s_end: float) -> list[tuple[float, float]]:
    """Returns the ranges of s between the gaps of a line, whose gaps may overlap."""
    ranges, start = [], S_START
    for gap_start, gap_end in sorted(marking.gaps):
        if gap_start > start:
            ranges.append((start, gap_start))
        start = max(start, gap_end)
    return ranges + [(start, s_end)] if start < s_end else ranges


def _steps(start: float, end: float) -> np.ndarray:
    return np.linspace(start, end, 2 + int((end - start) / STEP_M))
