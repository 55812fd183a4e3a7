"""A tiny drive in the folders of KITTI raw, made of known numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

DATE, DRIVE = "2011_09_26", "2011_09_26_drive_0007_sync"
WIDTH, HEIGHT = 124, 38
NUM_FRAMES = 4
LATITUDE_DEG, LONGITUDE_DEG, ALTITUDE_M = 49.01, 8.43, 112.8

# as in the data set: camera axes x right, y down, z forward in LiDAR axes x forward, y left, z up; a little off
VELO_TO_CAM_R = np.array([[0.01, -0.99995, 0.0], [0.0, 0.0, -1.0], [0.99995, 0.01, 0.0]])
VELO_TO_CAM_T = np.array([-0.004, -0.076, -0.27])
IMU_TO_VELO_R = np.eye(3)
IMU_TO_VELO_T = np.array([-0.81, 0.32, -0.80])
RECT_ANGLE = 0.01
K = np.array([[72.0, 0, 60.9], [0, 72.0, 17.3], [0, 0, 1.0]])
OFFSETS = {0: (0.0, 0.0, 0.0), 1: (-38.7, 0, 0), 2: (4.5, 0.2, 0.003), 3: (-34.0, 0.2, 0.003)}  # last column of P_rect


@dataclass(frozen=True)
class MadeUp:
    """What went into the files."""

    source: Path
    packets: np.ndarray  # [T, 6]
    scans: dict[int, np.ndarray]  # [N, 4]
    images: dict[tuple[int, int], bytes]  # (camera, frame)
    box: tuple[float, float, float, float]  # x, y, bottom z, yaw in the LiDAR frame at frame 1
    box_size: tuple[float, float, float]  # h, w, l


def rectification() -> np.ndarray:
    """R_rect_00."""
    c, s = np.cos(RECT_ANGLE), np.sin(RECT_ANGLE)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def projection(camera: int) -> np.ndarray:
    """P_rect of a camera."""
    return np.hstack([K, np.array(OFFSETS[camera])[:, None]])


def write_kitti(root: Path, *, missing_scans: tuple[int, ...] = ()) -> MadeUp:
    """Writes calibration, images of cameras 0 to 3, scans, packets, time stamps and one tracklet of a car."""
    source = root / DATE / DRIVE
    for folder in ("image_00", "image_01", "image_02", "image_03", "velodyne_points", "oxts"):
        (source / folder / "data").mkdir(parents=True)
    _write_calibration(root / DATE)
    packets = np.array([_packet(t) for t in range(NUM_FRAMES)])
    scans, images, rng = {}, {}, np.random.default_rng(0)
    for t in range(NUM_FRAMES):
        values = [*packets[t], *np.zeros(24)]
        (source / "oxts" / "data" / f"{t:010d}.txt").write_text(" ".join(f"{value:.15g}" for value in values) + "\n")
        if t not in missing_scans:
            scans[t] = np.c_[rng.uniform([4, -8, -2], [30, 8, 1], (300, 3)), rng.random(300)].astype("<f4")
            scans[t].tofile(source / "velodyne_points" / "data" / f"{t:010d}.bin")
        for camera in OFFSETS:
            path = source / f"image_{camera:02d}" / "data" / f"{t:010d}.png"
            color = rng.integers(0, 255, (HEIGHT, WIDTH, 3) if camera > 1 else (HEIGHT, WIDTH), dtype=np.uint8)
            Image.fromarray(color).save(path)
            images[camera, t] = path.read_bytes()
    times = [f"2011-09-26 13:02:{25.964389445 + 0.1036 * t:012.9f}" for t in range(NUM_FRAMES)]
    (source / "oxts" / "timestamps.txt").write_text("\n".join(times) + "\n")
    box, size = (12.0, 3.0, -1.7, 0.3), (1.5, 1.7, 4.2)
    write_tracklet(source, "Car", 1, [box, (13.0, 3.0, -1.7, 0.3), (15.0, 3.2, -1.7, 0.4)], size)
    return MadeUp(source, packets, scans, images, box, size)


def _packet(t: int) -> list[float]:
    """About 1 m to the north east per frame, turning a little."""
    return [LATITUDE_DEG + 6e-6 * t, LONGITUDE_DEG + 1e-5 * t, ALTITUDE_M + 0.05 * t, 0.01, -0.02, 0.8 + 0.02 * t]


def _numbers(matrix: np.ndarray) -> str:
    return " ".join(f"{value:.12e}" for value in np.asarray(matrix).ravel())


def _write_calibration(folder: Path) -> None:
    lines = ["calib_time: 09-Jan-2012 13:57:47", "corner_dist: 9.950000e-02"]
    for camera in OFFSETS:
        lines += [f"S_{camera:02d}: 140 51", f"S_rect_{camera:02d}: {WIDTH} {HEIGHT}",
                  f"R_rect_{camera:02d}: {_numbers(rectification())}",
                  f"P_rect_{camera:02d}: {_numbers(projection(camera))}"]  # fmt: skip
    (folder / "calib_cam_to_cam.txt").write_text("\n".join(lines) + "\n")
    for name, rotation, translation in (
        ("velo_to_cam", VELO_TO_CAM_R / np.linalg.norm(VELO_TO_CAM_R, axis=1, keepdims=True), VELO_TO_CAM_T),
        ("imu_to_velo", IMU_TO_VELO_R, IMU_TO_VELO_T),
    ):
        lines = ["calib_time: 15-Mar-2012 11:37:16", f"R: {_numbers(rotation)}", f"T: {_numbers(translation)}"]
        (folder / f"calib_{name}.txt").write_text("\n".join(lines) + "\n")


def write_tracklet(source: Path, kind: str, first_frame: int, boxes: list, size: tuple[float, float, float]) -> None:
    """One tracklet in the data set's XML."""
    poses = "".join(
        f"<item><tx>{x}</tx><ty>{y}</ty><tz>{z}</tz><rx>0</rx><ry>0</ry><rz>{yaw}</rz><state>2</state>"
        "<occlusion>0</occlusion><occlusion_kf>0</occlusion_kf><truncation>0</truncation></item>"
        for x, y, z, yaw in boxes
    )
    h, w, length = size
    (source / "tracklet_labels.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8" standalone="yes" ?>\n<!DOCTYPE boost_serialization>\n'
        '<boost_serialization signature="serialization::archive" version="9">'
        '<tracklets class_id="0" tracking_level="0" version="0"><count>1</count><item_version>1</item_version>'
        f'<item class_id="1" tracking_level="0" version="1"><objectType>{kind}</objectType>'
        f"<h>{h}</h><w>{w}</w><l>{length}</l><first_frame>{first_frame}</first_frame>"
        f"<poses><count>{len(boxes)}</count><item_version>2</item_version>{poses}</poses>"
        "<finished>1</finished></item></tracklets></boost_serialization>\n"
    )
