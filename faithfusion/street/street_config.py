"""What one procedural street looks like and how it is recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from faithfusion.utils.errors import InputError

CAMERA_YAWS_DEG = {"0": 0.0, "1": 45.0, "2": -45.0}
HFOV_DEG = 68.0  # horizontal field of view of every camera
MAX_FRAMES = 999  # file names have three digits
MAX_DRIVEN_M = 500.0
MAX_CROWD = 100
MAX_SHIFT_M = 6.5  # nothing solid stands nearer to the driven path than this plus a margin (layout.CLEAR_M)


@dataclass(frozen=True)
class StreetConfig:
    """A street and its recording; everything follows from `seed`.

    Attributes:
        seed: Everything is drawn from this seed: the street, the traffic, the light and the noise of the sensors.
        num_frames: The street is recorded at so many time stamps.
        width: The width of an image in pixels.
        height: The height of an image in pixels.
        samples_per_pixel: The number of stratified rays that are traced for a pixel.
        camera_names: The cameras of the rig: "0" looks ahead, "1" ahead to the left, "2" ahead to the right.
        shifts_m: True views are written at these distances from the recorded path, in metres (left is positive), beside
            those at 0 m.
        truth_cameras: True views are written for these cameras.
        num_side_shifts: Truth cameras after the first one get only so many of the first `shifts_m`; 0 gives them all.
        num_moving_cars: The number of moving cars that are asked for; there are fewer if the lanes have no room.
        num_pedestrians: The number of walking people that are asked for; there are fewer if there is no room.
        num_cyclists: The number of cyclists that are asked for; there are fewer if there is no room.
        speed_m_s: The mean speed of the recording vehicle in metres per second.
        frame_rate_hz: The number of time stamps per second.
        lidar_beams: The number of rows of the laser scanner.
        lidar_columns: The number of directions that the scanner looks in per turn.
        lidar_noise_m: The standard deviation of a measured range in metres.
        num_workers: So many processes render frames side by side; the files do not depend on it.
    """

    seed: int = 0
    num_frames: int = 49
    width: int = 320
    height: int = 192
    samples_per_pixel: int = 4
    camera_names: tuple[str, ...] = ("0", "1", "2")
    shifts_m: tuple[float, ...] = (3.0,)
    truth_cameras: tuple[str, ...] = ("0",)
    num_side_shifts: int = 0
    num_moving_cars: int = 4
    num_pedestrians: int = 0
    num_cyclists: int = 0
    speed_m_s: float = 9.5
    frame_rate_hz: float = 10.0
    lidar_beams: int = 64
    lidar_columns: int = 600
    lidar_noise_m: float = 0.01
    num_workers: int = 2


def driven_m(config: StreetConfig) -> float:
    """Length of the drive in metres, at its mean speed."""
    return config.num_frames * config.speed_m_s / config.frame_rate_hz


def camera_shifts_m(config: StreetConfig, camera_name: str) -> tuple[float, ...]:
    """Shifts at which truth of a camera is written beside the one at 0 m, to a centimetre; none if it has no truth."""
    if camera_name not in config.truth_cameras:
        return ()
    few = config.num_side_shifts if camera_name != config.truth_cameras[0] else 0
    shifts_m = config.shifts_m[:few] if few else config.shifts_m
    return tuple(round(float(shift), 2) for shift in shifts_m)


def check_config(config: StreetConfig) -> None:
    """Raises InputError for values no street can be made with."""
    for key in ("num_frames", "width", "height", "samples_per_pixel", "lidar_beams", "lidar_columns", "num_workers"):
        if getattr(config, key) < 1:
            raise InputError(f"street.{key}", getattr(config, key), "a whole number of at least 1")
    if not 0 <= config.num_side_shifts <= len(config.shifts_m):
        found = config.num_side_shifts
        raise InputError("street.num_side_shifts", found, f"0 to {len(config.shifts_m)}, the number of shifts")
    for key in ("num_pedestrians", "num_cyclists"):
        if not 0 <= getattr(config, key) <= MAX_CROWD:
            raise InputError(f"street.{key}", getattr(config, key), f"a whole number from 0 to {MAX_CROWD}")
    if config.num_frames > MAX_FRAMES:
        raise InputError("street.num_frames", config.num_frames, f"at most {MAX_FRAMES}")
    if not 0 < config.frame_rate_hz < math.inf:
        raise InputError("street.frame_rate_hz", config.frame_rate_hz, "a positive number of time stamps per second")
    if not driven_m(config) <= MAX_DRIVEN_M or config.speed_m_s <= 0:
        expected = f"a positive speed, at most {MAX_DRIVEN_M:g} m driven in the clip"
        raise InputError("street.speed_m_s", config.speed_m_s, expected)
    for name in config.camera_names + config.truth_cameras:
        if name not in CAMERA_YAWS_DEG or name not in config.camera_names:
            raise InputError("street.camera_names", name, f"names out of {sorted(CAMERA_YAWS_DEG)}, truth among them")
    for shift_m in config.shifts_m:
        if not abs(shift_m) <= MAX_SHIFT_M:
            raise InputError("street.shifts_m", shift_m, f"shifts within +-{MAX_SHIFT_M} m")
