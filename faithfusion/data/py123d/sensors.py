"""Images, LiDAR and boxes of a py123d scene.

LiDAR points are in the frame of the inertial unit, camera and box poses in the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from faithfusion.data.calibration_text import invert_rigid
from faithfusion.data.drive_writer import BoxTrack, Scan
from faithfusion.data.py123d.bridge_cameras import BridgeCamera, matrix, resample

# of py123d's default labels; what stands for ever (signs, cones, lights, barriers) needs no box, nor does the ego
CLASS_NAMES = {
    "VEHICLE": "Vehicle",
    "TRAIN": "Vehicle",
    "TWO_WHEELER": "Cyclist",
    "PERSON": "Pedestrian",
    "ANIMAL": "Animal",
    "GENERIC_OBJECT": "Object",
    "OTHER": "Object",
}
MERGED = "LIDAR_MERGED"
IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


def read_image(scene: Any, camera: BridgeCamera, iteration: int) -> tuple[bytes | np.ndarray, np.ndarray] | None:
    """(the file's own bytes, or an array [H, W, 3]; world_from_ego when it was taken); None without an image."""
    seen = scene.get_camera_at_iteration(iteration, camera.camera_id)
    if seen is None:
        return None
    world_from_ego = matrix(seen.camera_to_global_se3) @ invert_rigid(camera.ego_from_camera)
    if camera.source_uv is not None:
        return resample(np.asarray(seen.rgb_image), camera.source_uv), world_from_ego
    encoded = encoded_image(scene, camera, iteration)
    return (np.ascontiguousarray(seen.rgb_image) if encoded is None else encoded), world_from_ego


def encoded_image(scene: Any, camera: BridgeCamera, iteration: int) -> bytes | None:
    """The JPEG or PNG as the log holds it; None if it holds a path, a video frame or anything else."""
    read_column = getattr(scene, "get_modality_column_at_iteration", None)
    if read_column is None:
        return None
    data = read_column(iteration, "data", "camera", camera.camera_id)
    return data if isinstance(data, bytes) and data.startswith(IMAGE_STARTS) else None


def read_scan(scene: Any, iteration: int, to_ego: np.ndarray) -> Scan | None:
    """All LiDARs of one iteration in the ego frame; beams start at the LiDARs' places where py123d tells them apart."""
    metadatas = scene.get_lidar_metadatas()
    scans = [scene.get_lidar_at_iteration(iteration, lidar_id) for lidar_id in _lidar_ids(scene, metadatas)]
    parts = [_scan_part(scan, metadatas, to_ego) for scan in scans if scan is not None and len(scan.xyz)]
    if not parts:
        return None
    origins, points, intensity, laser = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Scan(origins, points, intensity, laser_id=laser)


def _lidar_ids(scene: Any, metadatas: dict) -> list:
    """One id if the log keeps one merged cloud (any id reads it), else all."""
    ids = list(metadatas)
    merged = any(key.endswith(MERGED.lower()) for key in scene.get_all_modality_metadatas())
    return [type(ids[0])[MERGED]] if ids and merged else ids


def _scan_part(scan: Any, metadatas: dict, to_ego: np.ndarray) -> tuple[np.ndarray, ...]:
    points = np.asarray(scan.xyz, dtype=np.float64) @ to_ego[:3, :3].T + to_ego[:3, 3]
    origins, laser = np.zeros_like(points), np.zeros(len(points))
    ids = scan.ids
    for number, (lidar_id, data) in enumerate(metadatas.items()):
        mine = np.full(len(points), len(metadatas) == 1) if ids is None else np.asarray(ids) == int(lidar_id)
        origins[mine] = (to_ego @ matrix(data.lidar_to_imu_se3))[:3, 3]
        laser[mine] = number
    intensity = (
        np.zeros(len(points)) if scan.intensity is None else np.asarray(scan.intensity, dtype=np.float64) / 255.0
    )
    return origins, points, intensity, laser


def collect_tracks(scene: Any, iterations: Sequence[int]) -> list[BoxTrack]:
    """Boxes of what can move at `iterations`, which become the time indices 0, 1, ... of the tracks."""
    seen: dict[str, list[tuple[int, Any]]] = {}
    for t, iteration in enumerate(iterations):
        for box in scene.get_box_detections_se3_at_iteration(iteration) or ():
            if box.attributes.default_label.name in CLASS_NAMES:
                seen.setdefault(str(box.attributes.track_token), []).append((t, box))
    return [_make_track(token, boxes) for token, boxes in seen.items()]


def _make_track(token: str, boxes: list[tuple[int, Any]]) -> BoxTrack:
    shapes = [box.bounding_box_se3 for _, box in boxes]
    return BoxTrack(
        track_id=token,
        class_name=CLASS_NAMES[boxes[0][1].attributes.default_label.name],
        frames=tuple(t for t, _ in boxes),
        world_from_box=np.stack([matrix(shape.center_se3) for shape in shapes]),
        size_m=np.array([[shape.length, shape.width, shape.height] for shape in shapes], dtype=np.float64),
    )
