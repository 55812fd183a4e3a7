"""KITTI's tracklets: `tracklet_labels.xml`, boxes in the LiDAR's frame of their time stamp."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from faithfusion.data.calibration_text import yaw_pose
from faithfusion.data.drive_writer import BoxTrack
from faithfusion.utils.errors import InputError

CLASS_NAMES = {
    "Car": "Vehicle",
    "Van": "Vehicle",
    "Truck": "Vehicle",
    "Tram": "Vehicle",
    "Pedestrian": "Pedestrian",
    "Person (sitting)": "Pedestrian",
    "Cyclist": "Cyclist",
}


def read_tracklets(path: Path, world_from_velo: np.ndarray, first_frame: int) -> list[BoxTrack]:
    """Tracks of the frames `first_frame` ... + T - 1 of the drive, whose LiDAR poses are `world_from_velo` [T, 4, 4].

    A tracklet's place is the middle of its bottom and it turns about z only; boxes have their origin at their centre.
    Classes other than `CLASS_NAMES` keep their name. InputError for a file that is not a list of tracklets.
    """
    tracks = [_read_tracklet(path, i, item, world_from_velo, first_frame) for i, item in enumerate(_items(path))]
    return [track for track in tracks if track is not None]


def _items(path: Path) -> list[ET.Element]:
    try:
        tracklets = ET.parse(path).getroot().find("tracklets")
    except (ET.ParseError, OSError) as error:
        raise InputError(path, f"cannot be read ({error})", "an XML file of tracklets") from None
    if tracklets is None:
        raise InputError(path, "no element `tracklets`", "an XML file of tracklets")
    return tracklets.findall("item")


def _read_tracklet(
    path: Path, number: int, item: ET.Element, world_from_velo: np.ndarray, first_frame: int
) -> BoxTrack | None:
    where = f"{path}, tracklet {number}"
    height, width, length = (_number(where, item, key) for key in ("h", "w", "l"))
    begin = int(_number(where, item, "first_frame")) - first_frame
    frames, poses = [], []
    for t, pose in enumerate(item.findall("poses/item"), start=begin):
        if 0 <= t < len(world_from_velo):
            x, y, z, yaw = (_number(where, pose, key) for key in ("tx", "ty", "tz", "rz"))
            frames.append(t)
            poses.append(world_from_velo[t] @ yaw_pose((x, y, z + 0.5 * height), yaw))
    if not frames:
        return None
    kind = (item.findtext("objectType") or "unknown").strip()
    return BoxTrack(
        track_id=f"tracklet_{number}",
        class_name=CLASS_NAMES.get(kind, kind),
        frames=tuple(frames),
        world_from_box=np.stack(poses),
        size_m=np.tile([length, width, height], (len(frames), 1)),
    )


def _number(where: str, element: ET.Element, key: str) -> float:
    text = element.findtext(key)
    try:
        value = float(text or "")
    except ValueError:
        raise InputError(where, f"{key} = {text!r}", "a number") from None
    if not np.isfinite(value):
        raise InputError(where, f"{key} = {text!r}", "a finite number")
    return value
