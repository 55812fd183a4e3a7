"""A made-up segment of the Waymo Open Dataset v2: an analytic street, cast into range images and distorted pictures.

The street stands in local axes (x along it, z up, ground at z = 0): ground, a wall on the left, a wall across the end,
a parked box and one that drives. The vehicle drives and turns while its top LiDAR spins, so every pixel of that image
has a pose of its own. Nothing here comes from the data set.
"""

from __future__ import annotations

import functools
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.optimize
from PIL import Image
from scipy.spatial.transform import Rotation

SEGMENT = "1234567890_100_000_120_000"
FIRST_US, STEP_US = 1_550_000_000_000_000, 100_000
NUM_FRAMES = 2
SKY, GROUND, LEFT_WALL, END_WALL, PARKED, DRIVING = range(6)
LEFT_WALL_Y, END_WALL_X = 7.0, 32.0
BOX_SIZE = np.array([4.4, 1.9, 1.6])
BOX_TOP_POINTS = {"car-a": 9, "car-b": 20, "sign": 0}
DRIVING_SPEED = 14.0  # metres per second
CAMERAS = {0: (0.0, 0.021), 1: (0.75, 0.012), 3: (1.5, -0.004)}  # number: yaw, seconds after the frame
WIDTH, HEIGHT = 96, 64
PINHOLES = {
    0: (88.0, 87.0, 47.5, 31.0, -0.08, 0.02, 0.002, -0.001, 0.0),
    1: (80.0, 81.0, 48.5, 32.5, -0.12, 0.01, 0.0, 0.001, 0.003),
    3: (84.0, 84.0, 48.0, 33.0, 0.05, -0.01, -0.001, 0.0, 0.0),
}
TOP_SHAPE, SIDE_SHAPE = (28, 360), (12, 60)


def world_from_local() -> np.ndarray:
    return _pose(Rotation.from_euler("z", 0.4), [250.0, -120.0, 30.0])


def world_from_vehicle(seconds: float) -> np.ndarray:
    """12 m/s, turning to the left, slightly rolled and pitched, as a function of the time since the first frame."""
    turn = Rotation.from_euler("ZYX", [0.02 + 0.15 * seconds, 0.01, -0.008])
    return world_from_local() @ _pose(turn, [12.0 * seconds, 0.3 * seconds, 0.02])


def local_from_box(name: int, seconds: float) -> np.ndarray:
    if name == PARKED:
        return _pose(Rotation.from_euler("z", 0.1), [14.0, 4.5, BOX_SIZE[2] / 2])
    return _pose(Rotation.from_euler("z", -0.03), [13.0 + DRIVING_SPEED * seconds, -2.0, BOX_SIZE[2] / 2])


def vehicle_from_camera(camera: int) -> np.ndarray:
    """Camera axes x forward, y left, z up."""
    return _pose(Rotation.from_euler("ZY", [CAMERAS[camera][0], 0.03]), [1.6, 0.1 * camera, 1.9])


def top_calibration() -> tuple[np.ndarray, np.ndarray]:
    """(vehicle from LiDAR, inclinations from the lowest beam upwards, denser near the horizon)."""
    share = np.linspace(-1, 1, TOP_SHAPE[0])
    return _pose(Rotation.from_euler("ZYX", [2.6, 0.01, -0.02]), [1.4, 0.0, 2.1]), -0.12 + 0.25 * share**3


def side_calibration() -> tuple[np.ndarray, float, float]:
    """(vehicle from LiDAR, lowest and highest inclination)."""
    return _pose(Rotation.from_euler("ZYX", [1.5, -0.03, 0.0]), [2.5, 1.0, 0.9]), -0.5, 0.3


def _pose(rotation: Rotation, centre: list[float]) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation.as_matrix(), centre
    return pose


def cast(origins: np.ndarray, rays: np.ndarray, seconds: np.ndarray, *, boxes: bool = True):
    """(distance along each ray of any length, surface) of rays [n, 3] in local axes at each one's own time."""
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = [
            np.full(len(rays), np.inf),
            -origins[:, 2] / rays[:, 2],
            (LEFT_WALL_Y - origins[:, 1]) / rays[:, 1],
            (END_WALL_X - origins[:, 0]) / rays[:, 0],
        ]
        for name in (PARKED, DRIVING):
            hit = np.full(len(rays), np.inf)
            for time in np.unique(seconds) if boxes else []:
                now, box = seconds == time, local_from_box(name, time)
                start, along = (origins[now] - box[:3, 3]) @ box[:3, :3], rays[now] @ box[:3, :3]
                sides = np.stack([(side * BOX_SIZE / 2 - start) / along for side in (-1, 1)])
                enter, leave = sides.min(0).max(-1), sides.max(0).min(-1)
                hit[now] = np.where((enter < leave) & (enter > 0), enter, np.inf)
            distances.append(hit)
        distances = np.stack([np.where(d > 1e-6, d, np.inf) for d in distances])
        heights = origins[:, 2] + distances * rays[:, 2]
    for wall in (LEFT_WALL, END_WALL):  # walls are 4 m high
        distances[wall, ~((heights[wall] >= 0) & (heights[wall] < 4.0))] = np.inf
    surface = distances.argmin(0)
    nearest = distances.min(0)
    return nearest, np.where(np.isfinite(nearest), surface, SKY)


def color(points: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """Smooth texture of every surface, [n, 3] in [0, 1]."""
    x, y, z = points.T
    waves = 0.08 * np.stack([np.sin(0.9 * x + y), np.sin(0.7 * y - 0.5 * x), np.sin(1.3 * z + 0.4 * x + y)], -1)
    base = np.array([[0.6, 0.75, 0.95], [0.4, 0.4, 0.42], [0.7, 0.5, 0.4], [0.5, 0.6, 0.45], [0.2, 0.3, 0.7],
                     [0.85, 0.2, 0.15]])  # fmt: skip
    return np.where((surface == SKY)[:, None], base[SKY], np.clip(base[surface] + waves, 0, 1))


def _local_rays(pose: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    local = np.linalg.inv(world_from_local()) @ pose
    return np.broadcast_to(local[:3, 3], rays.shape), rays @ local[:3, :3].T


def ideal_rays(camera: int, samples: int = 2) -> np.ndarray:
    """Ray (x forward, y left, z up) of every sample of every pixel, [H, W, samples^2, 3], by a root finder."""
    fx, fy, cx, cy, k1, k2, p1, p2, k3 = PINHOLES[camera]
    offsets = (np.arange(samples) + 0.5) / samples
    v, u, b, a = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), offsets, offsets, indexing="ij")
    seen = np.stack([(u + a - cx) / fx, (v + b - cy) / fy]).reshape(2, -1)

    def missed(flat: np.ndarray) -> np.ndarray:
        x, y = flat.reshape(2, -1)
        r2 = x**2 + y**2
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        bent = [x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2), y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y]
        return (np.stack(bent) - seen).ravel()

    x, y = scipy.optimize.newton_krylov(missed, seen.ravel(), f_tol=1e-9).reshape(2, -1)
    return np.stack([np.ones_like(x), -x, -y], -1).reshape(HEIGHT, WIDTH, -1, 3)


def picture(camera: int, seconds: float, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(picture [H, W, 3] uint8, surface of each pixel [H, W]) when the camera took it."""
    moment = seconds + CAMERAS[camera][1]
    origins, directions = _local_rays(world_from_vehicle(moment) @ vehicle_from_camera(camera), rays.reshape(-1, 3))
    distance, surface = cast(origins, directions, np.full(len(directions), moment))
    points = origins + np.where(np.isfinite(distance), distance, 0.0)[:, None] * directions
    image = color(points, surface).reshape(*rays.shape[:3], 3).mean(2)
    return (255 * image + 0.5).astype(np.uint8), surface.reshape(rays.shape[:3])[..., 0]


def column_seconds(seconds: float) -> np.ndarray:
    """When each column of the top LiDAR was measured: one turn of 0.1 s around the frame's time."""
    return seconds + 0.1 * ((np.arange(TOP_SHAPE[1]) + 0.5) / TOP_SHAPE[1] - 0.5)


def _sensor_rays(shape: tuple[int, int], inclinations: np.ndarray, yaw: float) -> np.ndarray:
    """Unit rays [H, W, 3] in the sensor's frame; the first row is the highest beam, azimuth falls along a row."""
    rows, columns = shape
    azimuth = np.pi - 2 * np.pi * (np.arange(columns) + 0.5) / columns - yaw
    up, around = np.meshgrid(inclinations[::-1], azimuth, indexing="ij")
    return np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], -1)


@functools.lru_cache(maxsize=8)
def top_scan(seconds: float, *, boxes: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(range [H, W], -1 without a return; surface [H, W]; pixel poses roll pitch yaw x y z [H, W, 6])."""
    extrinsic, inclinations = top_calibration()
    rays = _sensor_rays(TOP_SHAPE, inclinations, np.arctan2(extrinsic[1, 0], extrinsic[0, 0]))
    distance, surface = np.zeros(TOP_SHAPE), np.zeros(TOP_SHAPE, int)
    poses = np.zeros((*TOP_SHAPE, 6))
    for column, moment in enumerate(column_seconds(seconds)):
        vehicle = world_from_vehicle(moment)
        origins, directions = _local_rays(vehicle @ extrinsic, rays[:, column])
        times = np.full(len(directions), moment)
        distance[:, column], surface[:, column] = cast(origins, directions, times, boxes=boxes)
        yaw, pitch, roll = Rotation.from_matrix(vehicle[:3, :3]).as_euler("ZYX")
        poses[:, column] = [roll, pitch, yaw, *vehicle[:3, 3]]
    return np.where(distance < 75.0, distance, -1.0), surface, poses


def side_scan(seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """(range [H, W], surface [H, W]) of the left LiDAR, which has no pixel poses."""
    extrinsic, low, high = side_calibration()
    spaced = low + (np.arange(SIDE_SHAPE[0]) + 0.5) / SIDE_SHAPE[0] * (high - low)
    rays = _sensor_rays(SIDE_SHAPE, spaced, np.arctan2(extrinsic[1, 0], extrinsic[0, 0])).reshape(-1, 3)
    origins, directions = _local_rays(world_from_vehicle(seconds) @ extrinsic, rays)
    distance, surface = cast(origins, directions, np.full(len(rays), seconds))
    return np.where(distance < 20.0, distance, -1.0).reshape(SIDE_SHAPE), surface.reshape(SIDE_SHAPE)


def vehicle_box(name: int, seconds: float, later: float = 0.0) -> np.ndarray:
    """x y z length width height heading of a box, `later` seconds after a frame, in the vehicle's axes of the frame."""
    box = np.linalg.inv(world_from_vehicle(seconds)) @ world_from_local() @ local_from_box(name, seconds + later)
    return np.array([*box[:3, 3], *BOX_SIZE, np.arctan2(box[1, 0], box[0, 0])])


# ---- the parquet files ----

STRING, LONG, BYTE, DOUBLE, FLOATS = pa.string(), pa.int64(), pa.int8(), pa.float64(), pa.list_(pa.float32())
TRANSFORM, SHAPE = pa.list_(pa.float64(), 16), pa.list_(pa.int32(), 3)


def _write(root: Path, tag: str, columns: dict[str, tuple[pa.DataType, list]], segment: str) -> None:
    (root / tag).mkdir(parents=True, exist_ok=True)
    rows = len(next(iter(columns.values()))[1])
    arrays = {"key.segment_context_name": pa.array([segment] * rows, STRING)}
    arrays |= {name: pa.array(values, kind) for name, (kind, values) in columns.items()}
    pq.write_table(pa.table(arrays), root / tag / f"{segment}.parquet")


def _range_columns(prefix: str, images: list[np.ndarray | None]) -> dict[str, tuple[pa.DataType, list]]:
    flat = [None if image is None else image.astype(np.float32).ravel() for image in images]
    shape = [None if image is None else image.shape for image in images]
    return {f"{prefix}.values": (FLOATS, flat), f"{prefix}.shape": (SHAPE, shape)}


def _channels(distance: np.ndarray) -> np.ndarray:
    """Range, intensity, elongation, no-label zone."""
    row, column = np.indices(distance.shape)
    return np.stack([distance, 0.01 * row, 0.001 * column, np.full_like(distance, -1.0)], -1)


def write_segment(root: Path, *, num_frames: int = NUM_FRAMES, segment: str = SEGMENT) -> Path:
    """Writes all components into `root`; rows of one frame stand in another order in every component."""
    seconds = [0.1 * t for t in range(num_frames)]
    times = [FIRST_US + STEP_US * t for t in range(num_frames)]
    poses = [world_from_vehicle(s).ravel() for s in seconds]
    _write(
        root,
        "vehicle_pose",
        {
            "key.frame_timestamp_micros": (LONG, times[::-1]),
            "[VehiclePoseComponent].world_from_vehicle.transform": (TRANSFORM, poses[::-1]),
        },
        segment,
    )
    _write_cameras(root, seconds, times, segment)
    _write_lidar(root, seconds, times, segment)
    _write_boxes(root, seconds, times, segment)
    return root


def _write_cameras(root: Path, seconds: list[float], times: list[int], segment: str) -> None:
    rays = {camera: ideal_rays(camera) for camera in CAMERAS}
    rows = [(s, time, camera) for s, time in zip(seconds, times, strict=True) for camera in (3, 0, 1)]
    shots = [picture(camera, s, rays[camera]) for s, _, camera in rows]
    moments = [world_from_vehicle(s + CAMERAS[camera][1]).ravel() for s, _, camera in rows]
    prefix = "[CameraImageComponent]"
    _write(
        root,
        "camera_image",
        {
            "key.frame_timestamp_micros": (LONG, [time for _, time, _ in rows]),
            "key.camera_name": (BYTE, [camera + 1 for _, _, camera in rows]),
            f"{prefix}.image": (pa.binary(), [jpeg(image) for image, _ in shots]),
            f"{prefix}.pose.transform": (TRANSFORM, moments),
        },
        segment,
    )
    prefix, cameras = "[CameraCalibrationComponent]", sorted(CAMERAS, reverse=True)
    names = ("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3")
    _write(
        root,
        "camera_calibration",
        {
            "key.camera_name": (BYTE, [camera + 1 for camera in cameras]),
            **{f"{prefix}.intrinsic.{n}": (DOUBLE, [PINHOLES[k][i] for k in cameras]) for i, n in enumerate(names)},
            f"{prefix}.extrinsic.transform": (TRANSFORM, [vehicle_from_camera(k).ravel() for k in cameras]),
            f"{prefix}.width": (pa.int32(), [WIDTH] * len(cameras)),
            f"{prefix}.height": (pa.int32(), [HEIGHT] * len(cameras)),
        },
        segment,
    )
    classes = np.where(shots[1][1] == SKY, 25, 19).astype(np.uint16)  # sky or building; of camera 0 at the first frame
    buffer = io.BytesIO()
    Image.fromarray(classes * 1000 + 7).save(buffer, format="PNG")
    prefix = "[CameraSegmentationLabelComponent]"
    _write(
        root,
        "camera_segmentation",
        {
            "key.frame_timestamp_micros": (LONG, times[:1]),
            "key.camera_name": (BYTE, [1]),
            f"{prefix}.panoptic_label_divisor": (pa.int32(), [1000]),
            f"{prefix}.panoptic_label": (pa.binary(), [buffer.getvalue()]),
        },
        segment,
    )


def jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=95)
    return buffer.getvalue()


def _write_lidar(root: Path, seconds: list[float], times: list[int], segment: str) -> None:
    first, second, keys, poses = [], [], [], []
    for s, time in zip(seconds, times, strict=True):
        distance, surface, pixel_poses = top_scan(s)
        behind = np.where(surface >= PARKED, top_scan(s, boxes=False)[0], -1.0)  # second returns: through the boxes
        keys += [(time, 3), (time, 1)]
        first += [_channels(side_scan(s)[0]), _channels(distance)]
        second += [None, _channels(behind)]
        poses.append(pixel_poses)
    columns = {
        "key.frame_timestamp_micros": (LONG, [k for k, _ in keys]),
        "key.laser_name": (BYTE, [k for _, k in keys]),
    }
    prefix = "[LiDARComponent].range_image_return"
    _write(root, "lidar", columns | _range_columns(f"{prefix}1", first) | _range_columns(f"{prefix}2", second), segment)
    columns = {"key.frame_timestamp_micros": (LONG, times), "key.laser_name": (BYTE, [1] * len(times))}
    _write(root, "lidar_pose", columns | _range_columns("[LiDARPoseComponent].range_image_return1", poses), segment)
    (top, inclinations), (side, low, high) = top_calibration(), side_calibration()
    prefix = "[LiDARCalibrationComponent]"
    _write(
        root,
        "lidar_calibration",
        {
            "key.laser_name": (BYTE, [3, 1]),
            f"{prefix}.extrinsic.transform": (TRANSFORM, [side.ravel(), top.ravel()]),
            f"{prefix}.beam_inclination.min": (DOUBLE, [low, inclinations[0]]),
            f"{prefix}.beam_inclination.max": (DOUBLE, [high, inclinations[-1]]),
            f"{prefix}.beam_inclination.values": (pa.list_(pa.float64()), [None, inclinations]),
        },
        segment,
    )


def _write_boxes(root: Path, seconds: list[float], times: list[int], segment: str) -> None:
    kinds = {"car-b": (PARKED, 1), "car-a": (DRIVING, 1), "sign": (PARKED, 3)}
    rows = [(s, time, name) for s, time in zip(seconds, times, strict=True) for name in kinds]
    boxes = np.array([vehicle_box(kinds[name][0], s) for s, _, name in rows])
    later = np.array([vehicle_box(kinds[name][0], s, CAMERAS[0][1]) for s, _, name in rows])
    keys = {
        "key.frame_timestamp_micros": (LONG, [time for _, time, _ in rows]),
        "key.laser_object_id": (STRING, [name for _, _, name in rows]),
    }
    fields = [*(f"center.{axis}" for axis in "xyz"), *(f"size.{axis}" for axis in "xyz"), "heading"]
    prefix = "[LiDARBoxComponent]"
    columns = {f"{prefix}.box.{field}": (DOUBLE, boxes[:, i]) for i, field in enumerate(fields)}
    columns[f"{prefix}.type"] = (BYTE, [kinds[name][1] for _, _, name in rows])
    columns[f"{prefix}.num_lidar_points_in_box"] = (LONG, [0 if name == "sign" else 25 for _, _, name in rows])
    top = [BOX_TOP_POINTS[name] + round(10 * s) for s, _, name in rows]  # one more in each frame
    columns[f"{prefix}.num_top_lidar_points_in_box"] = (LONG, top)
    _write(root, "lidar_box", keys | columns, segment)
    prefix = "[LiDARCameraSyncedBoxComponent].camera_synced_box"
    columns = {f"{prefix}.{field}": (DOUBLE, later[:, i]) for i, field in enumerate(fields)}
    _write(root, "lidar_camera_synced_box", keys | columns, segment)
