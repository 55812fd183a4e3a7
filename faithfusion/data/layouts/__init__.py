"""Layouts of drives by name: one file each says how DriveStudio's preprocessing stores a data set.

All share the folders, file names `{t:03d}_{cam}`, calibration `fx fy cx cy k1 k2 p1 p2 k3` and the JSON of the boxes.
What differs was read from `datasets/<set>/<set>_preprocess.py` of github.com/ziyc/drivestudio (what is written) and
`datasets/<set>/<set>_sourceloader.py` (how it is meant), camera names and sizes from `datasets/dataset_meta.py`. A new
data set is a file beside these that describes it as a `Layout`, and its name in `LAYOUTS`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from faithfusion.data.layouts.argoverse import ARGOVERSE
from faithfusion.data.layouts.kitti import KITTI
from faithfusion.data.layouts.layout import OPENCV2DATASET, Layout
from faithfusion.data.layouts.nuplan import NUPLAN
from faithfusion.data.layouts.nuscenes import NUSCENES
from faithfusion.data.layouts.pandaset import PANDASET
from faithfusion.data.layouts.waymo import WAYMO
from faithfusion.utils.errors import InputError
from faithfusion.utils.json_files import read_json

__all__ = ["LAYOUTS", "MARKER", "OPENCV2DATASET", "WAYMO", "Layout", "layout_named", "read_marker"]

MARKER = "layout.json"
"""Optional file of a drive that names its layout: {"layout": "nuscenes", "frame_rate_hz": 12}."""
LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (WAYMO, NUSCENES, KITTI, ARGOVERSE, PANDASET, NUPLAN)}


def layout_named(name: object, where: str | Path) -> Layout:
    """The layout of a data set. InputError for a name that is not in the table."""
    if name not in LAYOUTS:
        raise InputError(where, f"layout {name!r}", f"one of {', '.join(LAYOUTS)}")
    return LAYOUTS[str(name)]


def read_marker(root: Path) -> dict[str, Any]:
    """Content of the drive's `layout.json`; empty without one. InputError if it is damaged or says other things."""
    path = root / MARKER
    if not path.is_file():
        return {}
    content = read_json(path, '{"layout": "waymo"} or another layout')
    if not isinstance(content, dict) or not set(content) <= {"layout", "frame_rate_hz", "times_s"}:
        raise InputError(
            path, f"{content}", '{"layout": NAME} and, if wanted, "frame_rate_hz": NUMBER, "times_s": [...]'
        )
    rate = content.get("frame_rate_hz", 10.0)
    if not isinstance(rate, int | float) or not 0 < rate < 1000:
        raise InputError(path, f"frame_rate_hz {rate!r}", "a positive number")
    times = content.get("times_s", [])
    whole = isinstance(times, list) and all(isinstance(time, int | float) for time in times)
    if not whole or not all(0 < b - a < math.inf for a, b in zip(times, times[1:], strict=False)):
        raise InputError(path, "times_s", "one increasing number of seconds per frame")
    return content
