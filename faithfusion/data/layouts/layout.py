"""The description of a layout: in what one data set differs from the others inside DriveStudio's folders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

OPENCV2DATASET = np.array([[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
"""OpenCV camera axes (x right, y down, z forward) to camera axes x forward, y left, z up."""
RIGHT_FORWARD_UP = np.array([[0.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
"""Body axes x forward, y left, z up to x right, y forward, z up."""


@dataclass(frozen=True)
class Layout:
    """How one data set lies in DriveStudio's folders.

    Attributes:
        name: The data set's name, by which users and `layout.json` ask for it.
        cameras: What the data set calls the cameras "0", "1", ..., in the order of their numbers.
        image_sizes: Width and height as recorded, one pair per camera.
        camera_axes: Camera axes of the extrinsics: "flu" is x forward, y left, z up; "opencv" is x right, y down,
            z forward.
        extrinsics_per_frame: Whether `extrinsics/{t:03d}_{cam}.txt` lead from camera to world; otherwise there is one
            `extrinsics/{cam}.txt`, from camera to ego.
        ego_pose: Whether `ego_pose/{t:03d}.txt` exists. If not, the ego is the front camera.
        body_axes: Axes of ego poses and boxes: "flu" as above, or "rfu" for x right, y forward, z up.
        scan_columns: How many float32 numbers a LiDAR point has.
        point_column: Which of them is the first of its three coordinates.
        scan_pose: Whether points are in the LiDAR's own frame, posed by `lidar_pose/{t:03d}.txt`; else the ego's.
        lens: "distorted" if the pictures are and the coefficients are stored; "none" if the pictures are rectified or
            their coefficients are not stored.
        frame_rate_hz: Time stamps per second.
    """

    name: str
    cameras: tuple[str, ...]
    image_sizes: tuple[tuple[int, int], ...]
    camera_axes: Literal["flu", "opencv"] = "opencv"
    extrinsics_per_frame: bool = False
    ego_pose: bool = True
    body_axes: Literal["flu", "rfu"] = "flu"
    scan_columns: int = 4
    point_column: int = 0
    scan_pose: bool = False
    lens: Literal["distorted", "none"] = "none"
    frame_rate_hz: float = 10.0

    @property
    def camera_from_opencv(self) -> np.ndarray:
        """[4, 4], OpenCV camera axes to the camera axes of the extrinsics."""
        return OPENCV2DATASET if self.camera_axes == "flu" else np.eye(4)

    @property
    def body_from_flu(self) -> np.ndarray:
        """[4, 4], x forward, y left, z up to the axes of the stored ego poses and boxes."""
        return RIGHT_FORWARD_UP if self.body_axes == "rfu" else np.eye(4)
