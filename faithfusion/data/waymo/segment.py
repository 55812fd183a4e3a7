"""One segment of Waymo's v2 files: its rig at once, its frames one by one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from faithfusion.data.drive_writer import RigCamera, Scan
from faithfusion.data.waymo import components as c
from faithfusion.data.waymo.parquet_rows import FrameRows, Table, matrix, number, values
from faithfusion.data.waymo.range_image import Beams, Returns, decode
from faithfusion.data.waymo.waymo_config import WaymoConfig
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say

PINHOLE = c.CAMERA_CALIBRATION.columns[:9]


@dataclass(frozen=True)
class SegmentFrame:
    """What one time stamp recorded; cameras by their number as text."""

    world_from_vehicle: np.ndarray  # [4, 4] at the frame's time, which is the LiDAR's
    images: dict[str, bytes]  # JPEG as recorded
    image_poses: dict[str, np.ndarray]  # [4, 4] vehicle to world at each image's time
    sky_masks: dict[str, np.ndarray]  # [H, W] bool, of the few images that have segmentation
    scan: Scan | None


class Segment:
    """The tables of a segment, opened and checked; parts of LiDAR and segmentation that were not downloaded are left
    out with a line that says so."""

    def __init__(self, data: Path, name: str, config: WaymoConfig) -> None:
        """InputError for a missing or damaged file of a component that is needed, a camera without calibration,
        and a window beyond the end."""
        self._data, self.name, self.config = data, name, config
        self._poses = Table(data, c.VEHICLE_POSE, name)
        self._images = Table(data, c.CAMERA_IMAGE, name)
        self._calibration = Table(data, c.CAMERA_CALIBRATION, name)
        lidar = c.LIDAR_TWO_RETURNS if config.second_return else c.LIDAR
        self._lidar = None if config.lidar == "none" else self._optional(lidar, "LiDAR")
        if self._lidar is not None:
            self._lidar_calibration = Table(data, c.LIDAR_CALIBRATION, name)
            self._pixel_poses = Table(data, c.LIDAR_POSE, name)
        self._segmentation = self._optional(c.CAMERA_SEGMENTATION, "sky masks")
        self._pose_at = {
            int(row[c.TIME].as_py()): matrix(row, c.VEHICLE_POSE.columns[0], self._poses.path)
            for row in self._poses.rows()
        }
        self._rig = self._read_rig()
        self.times = self._choose_times()  # only those at which every camera has an image

    def _optional(self, component: c.Component, what: str) -> Table | None:
        if not (self._data / component.tag).is_dir():
            say(f"{self._data}: no {component.tag}, so no {what}")
            return None
        if component is c.CAMERA_SEGMENTATION and not (self._data / component.tag / f"{self.name}.parquet").is_file():
            return None  # most segments have none
        return Table(self._data, component, self.name)

    def _choose_times(self) -> list[int]:
        every, start = sorted(self._pose_at), self.config.start
        end = len(every) if self.config.frames is None else start + self.config.frames
        if start >= len(every) or end > len(every):
            raise InputError(self._poses.path, f"frames {start} to {end - 1}", f"frames 0 to {len(every) - 1}")
        wanted = every[start:end]
        seen = set(self._images.pairs(c.CAMERA, c.CAMERA_NAMES))
        whole = [time for time in wanted if all((time, camera) in seen for camera in self.config.cameras)]
        if not whole:
            raise InputError(self._images.path, "no frame with an image of every camera", "fewer cameras (--cameras)")
        if len(whole) < len(wanted):
            say(f"{self.name}: {len(wanted) - len(whole)} of {len(wanted)} frames lack an image and are left out")
        return whole

    def pose_at(self, time: int) -> np.ndarray:
        """[4, 4], vehicle to world at a time stamp."""
        return self._pose_at[time]

    def rig(self) -> list[RigCamera]:
        """Calibration of the chosen cameras."""
        return self._rig

    def _read_rig(self) -> list[RigCamera]:
        found = {}
        for row in self._calibration.rows():
            camera = number(row, c.CAMERA, c.CAMERA_NAMES)
            pinhole = tuple(float(row[column].as_py()) for column in PINHOLE)
            pose = matrix(row, c.CAMERA_CALIBRATION.columns[9], self._calibration.path)
            found[camera] = RigCamera(str(camera), pinhole, pose)
        for camera in self.config.cameras:
            if camera not in found:
                raise InputError(self._calibration.path, f"no camera {c.CAMERA_NAMES[camera]}", "one row per camera")
        return [found[camera] for camera in self.config.cameras]

    def frames(self) -> Iterator[SegmentFrame]:
        """The chosen time stamps in order. InputError for a damaged image and for damaged range images."""
        images = FrameRows(self._images)
        segmentation = None if self._segmentation is None else FrameRows(self._segmentation)
        scans = None if self._lidar is None else self._scans()
        for time in self.times:
            rows = {number(row, c.CAMERA, c.CAMERA_NAMES): row for row in images.at(time)}
            encoded, poses = {}, {}
            for camera in self.config.cameras:
                where = f"{self._images.path}, time {time}, camera {c.CAMERA_NAMES[camera]}"
                encoded[str(camera)] = _require_image(rows[camera][c.CAMERA_IMAGE.columns[0]].as_py(), where)
                poses[str(camera)] = matrix(rows[camera], c.CAMERA_IMAGE.columns[1], self._images.path)
            yield SegmentFrame(
                world_from_vehicle=self._pose_at[time],
                images=encoded,
                image_poses=poses if self.config.image_poses else {},
                sky_masks={} if segmentation is None else self._sky(segmentation, time),
                scan=None if scans is None else next(scans),
            )

    def _sky(self, rows: FrameRows, time: int) -> dict[str, np.ndarray]:
        divisor, label = c.CAMERA_SEGMENTATION.columns
        masks = {}
        for row in rows.at(time):
            camera = number(row, c.CAMERA, c.CAMERA_NAMES)
            if camera in self.config.cameras and row[label].as_py():
                panoptic = np.asarray(Image.open(io.BytesIO(row[label].as_py())))
                masks[str(camera)] = panoptic // int(row[divisor].as_py()) == c.SKY
        return masks

    def _scans(self) -> Iterator[Scan | None]:
        beams = {number(row, c.LASER, c.LASER_NAMES): _beams(row, self._lidar_calibration) for row in
                 self._lidar_calibration.rows()}  # fmt: skip
        images, pixel_poses = FrameRows(self._lidar), FrameRows(self._pixel_poses)
        wanted = {c.TOP} if self.config.lidar == "top" else set(range(len(c.LASER_NAMES)))
        for time in self.times:
            poses = {number(row, c.LASER, c.LASER_NAMES): row for row in pixel_poses.at(time)}
            parts = []
            for row in images.at(time):
                laser = number(row, c.LASER, c.LASER_NAMES)
                if laser not in wanted:
                    continue
                if laser not in beams:
                    raise InputError(self._lidar_calibration.path, f"no laser {laser + 1}", "one row per laser")
                if laser == c.TOP and laser not in poses:
                    raise InputError(self._pixel_poses.path, f"no poses at time {time}", "one row per frame")
                pose = _image(poses[laser], c.LIDAR_POSE.columns, self._pixel_poses, 6) if laser in poses else None
                for first in range(0, len(self._lidar.component.columns), 2):
                    columns = self._lidar.component.columns[first : first + 2]
                    image = _image(row, columns, self._lidar, 3)
                    if image is not None:
                        parts.append((laser, decode(image, beams[laser], pose, self._pose_at[time])))
            yield _join(parts)


def _require_image(encoded: bytes | None, where: str) -> bytes:
    try:
        with Image.open(io.BytesIO(encoded or b"")) as image:
            image.verify()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(where, f"cannot be opened as an image ({error})", "a JPEG") from None
    return encoded


def _beams(row: dict, table: Table) -> Beams:
    transform, low, high, given = c.LIDAR_CALIBRATION.columns
    ends = [row[column].as_py() for column in (low, high)]
    return Beams(matrix(row, transform, table.path), *ends, values(row, given))


def _image(row: dict, columns: tuple[str, ...], table: Table, least_channels: int) -> np.ndarray | None:
    """A range image [H, W, C] of a row; None if the row has none. InputError if numbers and shape do not fit."""
    flat, shape = (values(row, column) for column in columns)
    if flat is None or shape is None:
        return None
    if len(shape) != 3 or int(np.prod(shape)) != flat.size or shape[2] < least_channels:
        expected = f"rows x columns x {least_channels} channels or more"
        raise InputError(table.path, f"{columns[0]}: {flat.size} numbers in shape {shape.tolist()}", expected)
    return flat.reshape(shape)


def _join(parts: list[tuple[int, Returns]]) -> Scan | None:
    if not parts:
        return None
    lasers = np.concatenate([np.full(len(returns.points), laser) for laser, returns in parts])
    fields = ("origins", "points", "intensity", "elongation")
    joined = {name: np.concatenate([getattr(returns, name) for _, returns in parts]) for name in fields}
    return Scan(**joined, laser_id=lasers)
