"""The parquet components that are read, and their columns.

Folders are named by component, files by segment: `camera_image/10023947602400723454_1120_000_1140_000.parquet`. Column
names follow waymo-open-dataset's `src/waymo_open_dataset/v2/component.py`, their meaning `v2/perception/*.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

SEGMENT = "key.segment_context_name"
TIME = "key.frame_timestamp_micros"
CAMERA = "key.camera_name"
LASER = "key.laser_name"
OBJECT = "key.laser_object_id"

CAMERA_NAMES = ("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "SIDE_LEFT", "SIDE_RIGHT")
LASER_NAMES = ("TOP", "FRONT", "SIDE_LEFT", "SIDE_RIGHT", "REAR")
"""Keys hold the position in these tuples plus one; files of the first release hold the names."""
TOP = 0
CLASS_NAMES = {1: "Vehicle", 2: "Pedestrian", 4: "Cyclist"}
"""Names of the types that move; type 3 is a sign."""
SKY = 25
"""Semantic class of the sky, `protos/camera_segmentation.proto`."""


@dataclass(frozen=True)
class Component:
    """One parquet file per segment. `columns` are needed; `keys` tell its rows apart."""

    tag: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]


def _component(tag: str, class_name: str, keys: tuple[str, ...], fields: str) -> Component:
    return Component(tag, keys, tuple(f"[{class_name}].{field}" for field in fields.split()))


_BOX = "box.center.x box.center.y box.center.z box.size.x box.size.y box.size.z box.heading"

CAMERA_IMAGE = _component("camera_image", "CameraImageComponent", (TIME, CAMERA), "image pose.transform")
CAMERA_CALIBRATION = _component(
    "camera_calibration",
    "CameraCalibrationComponent",
    (CAMERA,),
    "intrinsic.f_u intrinsic.f_v intrinsic.c_u intrinsic.c_v intrinsic.k1 intrinsic.k2 intrinsic.p1 intrinsic.p2 "
    "intrinsic.k3 extrinsic.transform width height",
)
CAMERA_SEGMENTATION = _component(
    "camera_segmentation", "CameraSegmentationLabelComponent", (TIME, CAMERA), "panoptic_label_divisor panoptic_label"
)
VEHICLE_POSE = _component("vehicle_pose", "VehiclePoseComponent", (TIME,), "world_from_vehicle.transform")
LIDAR = _component("lidar", "LiDARComponent", (TIME, LASER), "range_image_return1.values range_image_return1.shape")
LIDAR_TWO_RETURNS = _component(
    "lidar",
    "LiDARComponent",
    (TIME, LASER),
    "range_image_return1.values range_image_return1.shape range_image_return2.values range_image_return2.shape",
)
LIDAR_POSE = _component(
    "lidar_pose", "LiDARPoseComponent", (TIME, LASER), "range_image_return1.values range_image_return1.shape"
)
LIDAR_CALIBRATION = _component(
    "lidar_calibration",
    "LiDARCalibrationComponent",
    (LASER,),
    "extrinsic.transform beam_inclination.min beam_inclination.max beam_inclination.values",
)
LIDAR_BOX = _component(
    "lidar_box", "LiDARBoxComponent", (TIME, OBJECT), f"{_BOX} type num_lidar_points_in_box num_top_lidar_points_in_box"
)
LIDAR_CAMERA_SYNCED_BOX = _component(
    "lidar_camera_synced_box",
    "LiDARCameraSyncedBoxComponent",
    (TIME, OBJECT),
    _BOX.replace("box.", "camera_synced_box."),
)
