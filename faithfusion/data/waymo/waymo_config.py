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
        cameras: The cameras that are taken: 0 looks ahead, 1 ahead to the left, 2 ahead to the right, 3 to the left
            side and 4 to the right side.
        start: The first time stamp that is taken.
        frames: The number of time stamps from there on; null takes all.
        lidar: The LiDARs that are taken: "all" five, the one on the "top", or "none".
        second_return: Takes the second return of every beam, too.
        synced_boxes: Moves the boxes to where they were when the camera that sees them best took its picture, where
            Waymo says so.
        image_poses: Gives each image the vehicle's pose of its own moment. Without it all images have the pose of the
            frame, which is the LiDAR's, as DriveStudio does it.
        masks: Writes masks of what moves, from the boxes.
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
