"""Writes a tiny py123d log of known numbers, with py123d's own writer: ENV/bin/python made_up_py123d.py FOLDER.

The log lies in FOLDER/logs/toy_test/log; FOLDER/truth.npz holds what went into it. Needs py123d, numpy and Pillow only.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

NUM_FRAMES = 5
NO_IMAGE_AT = 3  # one camera misses this iteration
WIDTH, HEIGHT = 64, 48
FISHEYE_WIDTH, FISHEYE_HEIGHT = 80, 60
LENS = (-0.12, 0.03, 0.001, -0.0005, 0.002)
CAMERA_DELAY_S = 0.03  # of camera 1 against the frame
SPEED_M_S = 8.0
STEP_US = 100_000


def pose(x: float, y: float, z: float, yaw: float = 0.0, pitch: float = 0.0) -> np.ndarray:
    """[4, 4], yaw about z, then pitch about y."""
    matrix = np.eye(4)
    c, s, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    matrix[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    matrix[:3, 3] = [x, y, z]
    return matrix


CAMERA_AXES = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # forward left up from OpenCV
IMU_FROM_REAR = pose(-0.4, 0.1, -0.3)
IMU_FROM_CAMERA = {
    "pcam_f0": pose(1.2, 0.0, 1.1) @ CAMERA_AXES,
    "pcam_l0": pose(1.0, 0.3, 1.1, yaw=0.7, pitch=0.05) @ CAMERA_AXES,
    "ftcam_f0": pose(1.3, 0.0, 1.2) @ CAMERA_AXES,
}
IMU_FROM_LIDAR = {"lidar_top": pose(0.5, 0.0, 1.5), "lidar_front": pose(2.5, 0.0, 0.2)}


def world_from_imu(time_s: float) -> np.ndarray:
    """Driving to the north east, far from the origin, turning."""
    yaw = 0.8 + 0.1 * time_s
    return pose(5000.0 + SPEED_M_S * time_s * np.cos(0.8), -700.0 + SPEED_M_S * time_s * np.sin(0.8), 30.0, yaw)


def picture(t: int, camera: int, width: int, height: int) -> np.ndarray:
    """A smooth picture that tells frame and camera."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return (255 * np.stack([x, y, 0.5 + 0.5 * np.sin(6 * x + t + camera)], -1)).astype(np.uint8)


def main(folder: Path) -> None:
    """Writes log and truth."""
    from py123d.api.scene.arrow.arrow_log_writer import ArrowLogWriter
    from py123d.api.scene.arrow.utils.log_writer_config import LogWriterConfig
    from py123d.datatypes import LogMetadata, Timestamp
    from py123d.parser.base_dataset_parser import ModalitiesSync

    config = LogWriterConfig(camera_store_option="jpeg_binary", lidar_store_option="binary", lidar_codec="ipc")
    writer = ArrowLogWriter(config, folder / "logs", folder / "sensors")
    writer.reset(LogMetadata("toy", "toy_test", "log", "nowhere"))
    truth: dict[str, np.ndarray] = {}
    for t in range(NUM_FRAMES):
        stamp = Timestamp.from_us(1_000_000 + STEP_US * t)
        writer.write_sync(ModalitiesSync(stamp, [*_ego(t, stamp), *_cameras(t, stamp, truth), *_lidar(t, stamp, truth),
                                                 *_boxes(t, stamp, truth)]))  # fmt: skip
    writer.close()
    _map(folder, truth)
    np.savez(folder / "truth.npz", **truth)


def _map(folder: Path, truth: dict[str, np.ndarray]) -> None:
    """A line, an edge and a crosswalk near the path; a boundary without paint and an edge far away."""
    from py123d.api.map.arrow.arrow_map_writer import ArrowMapWriter
    from py123d.datatypes import Crosswalk, MapMetadata, RoadEdge, RoadLine
    from py123d.datatypes.map_objects.map_layer_types import RoadEdgeType, RoadLineType
    from py123d.geometry import Polyline3D

    truth["map_line"] = np.array([[5000.0, -702.0, 29.5], [5020.0, -680.0, 29.75], [5040.0, -655.0, 30.0]])
    truth["map_edge"] = np.array([[4990.0, -695.0, 29.5], [5030.0, -650.0, 30.25]])
    truth["map_crossing"] = np.array([[5010.0, -699, 29.5], [5013, -699, 29.5], [5013, -685, 29.5], [5010, -685, 29.5]])
    line, edge = Polyline3D.from_array(truth["map_line"]), Polyline3D.from_array(truth["map_edge"])
    outline = Polyline3D.from_array(np.concatenate([truth["map_crossing"], truth["map_crossing"][:1]]))
    far = Polyline3D.from_array(truth["map_edge"] + [1000.0, 0.0, 0.0])
    writer = ArrowMapWriter(True, folder / "maps", folder / "logs")
    writer.reset(MapMetadata("toy", None, map_has_z=True, map_is_per_log=True, split="toy_test", log_name="log"))
    for thing in (
        RoadLine(1, RoadLineType.SOLID_WHITE, line),
        RoadLine(2, RoadLineType.NONE, line),
        RoadEdge(3, RoadEdgeType.ROAD_EDGE_BOUNDARY, edge),
        RoadEdge(4, RoadEdgeType.ROAD_EDGE_BOUNDARY, far),
        Crosswalk(5, outline),
    ):
        writer.write_map_object(thing)
    writer.close()


def _se3(matrix: np.ndarray) -> object:
    from py123d.geometry import PoseSE3

    return PoseSE3.from_transformation_matrix(matrix)


def _ego(t: int, stamp: object) -> list:
    from py123d.datatypes import EgoStateSE3, EgoStateSE3Metadata

    metadata = EgoStateSE3Metadata("toy", 1.9, 4.5, 1.6, 2.8, _se3(pose(1.0, 0, 0.5)), _se3(IMU_FROM_REAR))
    return [EgoStateSE3.from_imu(_se3(world_from_imu(0.1 * t)), metadata, stamp)]


def _cameras(t: int, stamp: object, truth: dict[str, np.ndarray]) -> list:
    from py123d.datatypes import CameraID
    from py123d.datatypes.sensors.ftheta_camera import FThetaCameraMetadata, FThetaIntrinsics
    from py123d.datatypes.sensors.pinhole_camera import PinholeCameraMetadata, PinholeDistortion, PinholeIntrinsics
    from py123d.parser.base_dataset_parser import ParsedCamera

    intrinsics = PinholeIntrinsics(50.0, 51.0, 31.5, 24.25)
    lens = PinholeDistortion(*LENS)
    polynomial = np.array([0.0, 40.0, 0.0, -2.0, 0.0, 0.0])
    ftheta = FThetaIntrinsics(39.0, 31.0, polynomial, polynomial)
    mounts = {name: _se3(matrix) for name, matrix in IMU_FROM_CAMERA.items()}
    metadatas = [
        PinholeCameraMetadata("FRONT", CameraID.PCAM_F0, intrinsics, lens, WIDTH, HEIGHT, mounts["pcam_f0"]),
        PinholeCameraMetadata("LEFT", CameraID.PCAM_L0, intrinsics, lens, WIDTH, HEIGHT, mounts["pcam_l0"], True),
        FThetaCameraMetadata("WIDE", CameraID.FTCAM_F0, ftheta, FISHEYE_WIDTH, FISHEYE_HEIGHT, mounts["ftcam_f0"]),
    ]
    found = []
    for number, metadata in enumerate(metadatas):
        name = metadata.camera_id.serialize()
        if (name, t) == ("pcam_l0", NO_IMAGE_AT):
            continue
        buffer = io.BytesIO()
        Image.fromarray(picture(t, number, metadata.width, metadata.height)).save(buffer, "JPEG", quality=97)
        truth[f"{name}_{t}"] = np.frombuffer(buffer.getvalue(), np.uint8)
        delay_s = CAMERA_DELAY_S if name == "pcam_l0" else 0.0
        taken = _se3(world_from_imu(0.1 * t + delay_s) @ IMU_FROM_CAMERA[name])
        found.append(ParsedCamera(metadata, stamp, taken, byte_string=buffer.getvalue()))
    return found


def _lidar(t: int, stamp: object, truth: dict[str, np.ndarray]) -> list:
    from py123d.datatypes import Lidar, LidarID, LidarMergedMetadata, LidarMetadata

    ids = {name: LidarID.deserialize(name) for name in IMU_FROM_LIDAR}
    metadata = LidarMergedMetadata(
        {ids[name]: LidarMetadata(name, ids[name], _se3(matrix)) for name, matrix in IMU_FROM_LIDAR.items()}
    )
    rng = np.random.default_rng(t)
    points = rng.uniform([3, -6, -1], [25, 6, 2], (200, 3)).astype(np.float32)  # in the frame of the inertial unit
    numbers = np.repeat([int(ids["lidar_top"]), int(ids["lidar_front"])], 100).astype(np.uint8)
    intensity = rng.integers(0, 255, 200).astype(np.uint8)
    truth[f"points_{t}"], truth[f"intensity_{t}"] = points, intensity
    return [Lidar(stamp, stamp, metadata, points, {"ids": numbers, "intensity": intensity})]


def _boxes(t: int, stamp: object, truth: dict[str, np.ndarray]) -> list:
    from py123d.datatypes import (
        BoxDetectionAttributes,
        BoxDetectionSE3,
        BoxDetectionsSE3,
        BoxDetectionsSE3Metadata,
        DefaultBoxDetectionLabel,
    )
    from py123d.geometry import BoundingBoxSE3

    label = DefaultBoxDetectionLabel
    wanted = [("car", label.VEHICLE, pose(5020.0 + t, -690.0, 30.5, 0.8), (4.4, 1.8, 1.5)),
              ("cone", label.TRAFFIC_CONE, pose(5010.0, -695.0, 30.2), (0.3, 0.3, 0.6))]  # fmt: skip
    if t >= 2:
        wanted.append(("walker", label.PERSON, pose(5012.0, -693.0, 30.9, -0.4), (0.6, 0.7, 1.8)))
    truth[f"car_{t}"] = wanted[0][2]
    boxes = [
        BoxDetectionSE3(BoxDetectionAttributes(kind, token), BoundingBoxSE3(_se3(matrix), *size))
        for token, kind, matrix, size in wanted
    ]
    return [BoxDetectionsSE3(boxes, stamp, BoxDetectionsSE3Metadata(label))]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
