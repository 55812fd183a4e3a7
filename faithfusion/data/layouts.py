"""One table of how DriveStudio's preprocessing (github.com/ziyc/drivestudio) stores its six data sets.

All share the folders, file names `{t:03d}_{cam}`, calibration `fx fy cx cy k1 k2 p1 p2 k3` and the JSON of the boxes.
What differs is in the rows below. They were read from `datasets/<set>/<set>_preprocess.py` (what is written) and
`datasets/<set>/<set>_sourceloader.py` (how it is meant), camera names and sizes from `datasets/dataset_meta.py`. Two
things that DriveStudio does not need, because it only uses poses relative to one another, come from elsewhere.
PandaSet's LiDAR, and with it its ego pose and its boxes, has x right, y forward, z up (OpenPCDet,
`pcdet/datasets/pandaset/pandaset_dataset.py`). nuScenes has no ego pose on disk: its ego is put where the front camera
is, with that camera's axes turned to x forward, y left, z up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from faithfusion.utils.errors import InputError

MARKER = "layout.json"
"""Optional file of a drive that names its layout: {"layout": "nuscenes", "frame_rate_hz": 12}."""

# OpenCV camera axes (x right, y down, z forward) to camera axes x forward, y left, z up
OPENCV2DATASET = np.array([[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
# body axes x forward, y left, z up to x right, y forward, z up
RIGHT_FORWARD_UP = np.array([[0.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Layout:
    """How one data set lies in DriveStudio's folders.

    Attributes:
        name: The data set.
        cameras: Its names of the cameras "0", "1", ... in the order of their numbers.
        image_sizes: Width and height as recorded, one pair per camera.
        camera_axes: Of the extrinsics: "flu" = x forward, y left, z up; "opencv" = x right, y down, z forward.
        extrinsics_per_frame: False: `extrinsics/{cam}.txt`, camera to ego. True: `{t:03d}_{cam}.txt`, camera to world.
        ego_pose: Whether `ego_pose/{t:03d}.txt` exists. If not, the ego is the front camera.
        body_axes: Of ego poses and boxes: "flu", or "rfu" = x right, y forward, z up.
        scan_columns: float32 numbers per LiDAR point.
        point_column: The first of its three coordinates.
        scan_pose: Whether points are in the LiDAR's own frame, posed by `lidar_pose/{t:03d}.txt`; else the ego's.
        lens: "distorted" pictures with coefficients, or "none": rectified ones, or coefficients that are not stored.
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


WAYMO = Layout(
    name="waymo",
    cameras=("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "SIDE_LEFT", "SIDE_RIGHT"),
    image_sizes=((1920, 1280),) * 3 + ((1920, 886),) * 2,
    camera_axes="flu",
    scan_columns=14,  # origin 3, point 3, flow 3, flow class, ground, intensity, elongation, laser
    point_column=3,
    lens="distorted",
)
NUSCENES = Layout(
    name="nuscenes",
    cameras=("CAM_FRONT", "CAM_FRONT_LEFT", "CAM_FRONT_RIGHT", "CAM_BACK_LEFT", "CAM_BACK_RIGHT", "CAM_BACK"),
    image_sizes=((1600, 900),) * 6,
    extrinsics_per_frame=True,
    ego_pose=False,
    scan_columns=4,  # point 3, intensity
    scan_pose=True,
)
KITTI = Layout(
    name="kitti",
    cameras=("CAM_LEFT", "CAM_RIGHT"),
    image_sizes=((1242, 375),) * 2,
    scan_columns=4,  # point 3, reflectance; its ego is the LiDAR
)
ARGOVERSE = Layout(
    name="argoverse",
    cameras=tuple(f"ring_{place}" for place in ("front_center", "front_left", "front_right", "side_left", "side_right",
                                                "rear_left", "rear_right")),
    image_sizes=((1550, 2048),) + ((2048, 1550),) * 6,
    scan_columns=4,  # point 3, intensity
)  # fmt: skip
PANDASET = Layout(
    name="pandaset",
    cameras=tuple(f"{place}_camera" for place in ("front", "front_left", "front_right", "left", "right", "back")),
    image_sizes=((1920, 1080),) * 6,
    extrinsics_per_frame=True,
    body_axes="rfu",
    scan_columns=5,  # point 3, intensity, LiDAR (0 spinning, 1 forward)
)
NUPLAN = Layout(
    name="nuplan",
    cameras=("CAM_F0", "CAM_L0", "CAM_R0", "CAM_L1", "CAM_R1", "CAM_L2", "CAM_R2", "CAM_B0"),
    image_sizes=((1920, 1080),) * 8,
    scan_columns=6,  # point 3, intensity, ring, LiDAR
    lens="distorted",
)
LAYOUTS = {layout.name: layout for layout in (WAYMO, NUSCENES, KITTI, ARGOVERSE, PANDASET, NUPLAN)}


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
    try:
        content = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise InputError(path, f"cannot be read ({error})", '{"layout": "waymo"} or another layout') from None
    if not isinstance(content, dict) or not set(content) <= {"layout", "frame_rate_hz"}:
        raise InputError(path, f"{content}", '{"layout": NAME} and, if wanted, "frame_rate_hz": NUMBER')
    rate = content.get("frame_rate_hz", 10.0)
    if not isinstance(rate, int | float) or not 0 < rate < 1000:
        raise InputError(path, f"frame_rate_hz {rate!r}", "a positive number")
    return content
