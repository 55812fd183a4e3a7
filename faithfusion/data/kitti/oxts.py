"""Poses from KITTI's GPS and inertial unit, and its time stamps."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np

from faithfusion.data.calibration_text import read_numbers
from faithfusion.utils.errors import InputError

EARTH_RADIUS_M = 6378137.0
NUM_VALUES = 30  # of one packet; the first six are latitude, longitude, altitude, roll, pitch, yaw


def read_packet(path: Path) -> np.ndarray:
    """Latitude, longitude in degrees, altitude in metres, roll, pitch, yaw in radians. InputError for other files."""
    values = read_numbers(path)
    if values.size != NUM_VALUES:
        raise InputError(path, f"{values.size} numbers", f"{NUM_VALUES} numbers of an OXTS packet")
    return values[:6]


def world_from_imu(packet: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Pose [4, 4] of the inertial unit (x forward, y left, z up) in a world x east, y north, z up at `origin`.

    Mercator projection with the scale s = cos(latitude of `origin`): x = s r longitude,
    y = s r ln tan(pi/4 + latitude/2), z = altitude; rotation Rz(yaw) Ry(pitch) Rx(roll) (the data set's development
    kit, convertOxtsToPose).
    """
    pose = np.eye(4)
    pose[:3, :3] = _rotation(2, packet[5]) @ _rotation(1, packet[4]) @ _rotation(0, packet[3])
    scale = np.cos(np.radians(origin[0]))
    pose[:3, 3] = _mercator(packet, scale) - _mercator(origin, scale)
    return pose


def _mercator(packet: np.ndarray, scale: float) -> np.ndarray:
    latitude, longitude = np.radians(packet[:2])
    x, y = longitude, np.log(np.tan(0.25 * np.pi + 0.5 * latitude))
    return np.array([scale * EARTH_RADIUS_M * x, scale * EARTH_RADIUS_M * y, packet[2]])


def _rotation(axis: int, angle: float) -> np.ndarray:
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix


def read_times_s(path: Path) -> np.ndarray | None:
    """Seconds since the first line of a `timestamps.txt`; None without the file.

    InputError for lines that are no time stamps and for times that do not increase.
    """
    if not path.is_file():
        return None
    times = [_parse_time(path, line) for line in path.read_text().splitlines() if line.strip()]
    seconds = np.array(times) - (times[0] if times else 0.0)
    if (np.diff(seconds) <= 0).any():
        line = int(np.flatnonzero(np.diff(seconds) <= 0)[0]) + 2
        raise InputError(path, f"line {line} is not later than the one before", "increasing time stamps")
    return seconds


def _parse_time(path: Path, line: str) -> float:
    """Seconds; nanoseconds, which `datetime` cannot hold, are added by hand."""
    whole, _, fraction = line.strip().partition(".")
    try:
        moment = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S") - datetime(2011, 1, 1)
        return moment.total_seconds() + float(f"0.{fraction or 0}")
    except ValueError:
        raise InputError(path, f"line {line!r}", "2011-09-26 13:02:25.964389445") from None
