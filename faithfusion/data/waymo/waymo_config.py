"""The options that say what of a Waymo segment goes into a drive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from faithfusion.data.waymo.components import CAMERA_NAMES
from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class WaymoConfig:
    """Options of `prepare_waymo`.

    Attributes:
        cameras: 0 front, 1 front left, 2 front right, 3 side left, 4 side right.
        start: First time stamp.
        frames: Time stamps from there on; null takes all.
        lidar: "all" five, the one on "top", or "none".
        second_return: Also the second return of every beam.
        synced_boxes: Boxes moved to when the camera that sees them best took its picture, where Waymo gives them.
        image_poses: Each image with the vehicle's pose of its own moment; else all with the pose of the frame, which is
            the LiDAR's, as DriveStudio does.
        masks: Dynamic masks from the boxes of what moves.
    """

    cameras: tuple[int, ...] = (0, 1, 2, 3, 4)
    start: int = 0
    frames: int | None = None
    lidar: Literal["all", "top", "none"] = "all"
    second_return: bool = False
    synced_boxes: bool = False
    image_poses: bool = True
    masks: bool = True

    def __post_init__(self) -> None:
        known = range(len(CAMERA_NAMES))
        if not self.cameras or len(set(self.cameras)) != len(self.cameras) or not set(self.cameras) <= set(known):
            raise InputError("cameras", self.cameras, "some of 0 to 4, each once")
        if self.start < 0 or (self.frames is not None and self.frames < 1):
            raise InputError(
                "frames", f"start {self.start}, frames {self.frames}", "a start from 0 on, 1 or more frames"
            )
