"""Writes a drive in the layout `read_drive` reads without being told (DriveStudio's Waymo layout, docs/data.md).

One frame at a time, so a long drive never lies in memory. Call `make_folders` and `write_rig` once, `write_frame` per
time stamp, `write_tracks` and, if masks are wanted, `box_masks.write_dynamic_masks` at the end;
`utils.atomic.atomic_folder` around all of it leaves nothing half-written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from faithfusion.data.calibration_text import require_rigid
from faithfusion.utils.errors import InputError

FOLDERS = ("images", "intrinsics", "extrinsics", "ego_pose", "lidar", "instances")
LAYOUT_MARKER = "layout.json"
JPEG_QUALITY = 96
SIGNATURES = {b"\xff\xd8\xff": "jpg", b"\x89PNG\r\n\x1a\n": "png"}


@dataclass(frozen=True)
class RigCamera:
    """One camera of the rig. `ego_from_camera` has camera axes x forward, y left, z up, metres."""

    name: str
    pinhole: tuple[float, ...]  # fx fy cx cy k1 k2 p1 p2 k3, pixels with centres at +0.5
    ego_from_camera: np.ndarray  # [4, 4]


@dataclass(frozen=True)
class BoxTrack:
    """One tracked box; axes x forward (length), y left (width), z up (height), origin at the centre, metres."""

    track_id: str
    class_name: str  # "Vehicle", "Pedestrian", "Cyclist", ...
    frames: tuple[int, ...]  # ascending time indices
    world_from_box: np.ndarray  # [n, 4, 4]
    size_m: np.ndarray  # [n, 3] length, width, height
    top_points: tuple[int, ...] | None = None  # [n] points of the top LiDAR in the box, where the data set says so


@dataclass(frozen=True)
class Scan:
    """LiDAR returns in the ego frame of their time stamp, metres; `origins` is where each beam started."""

    origins: np.ndarray  # [n, 3]
    points: np.ndarray  # [n, 3]
    intensity: np.ndarray  # [n]
    elongation: np.ndarray | None = None  # [n]
    laser_id: np.ndarray | None = None  # [n]
    ground_label: np.ndarray | None = None  # [n], 1 = ground

    def rows(self) -> np.ndarray:
        """float32 [n, 14]: origin 3, point 3, flow 3 (0), flow class (-1), ground, intensity, elongation, laser."""
        rows = np.zeros((len(self.points), 14), dtype="<f4")
        rows[:, 0:3], rows[:, 3:6], rows[:, 9], rows[:, 11] = self.origins, self.points, -1.0, self.intensity
        for column, values in ((10, self.ground_label), (12, self.elongation), (13, self.laser_id)):
            if values is not None:
                rows[:, column] = values
        return rows


def make_folders(folder: Path) -> None:
    """Creates the folders of an empty drive and its marker `layout.json`; existing ones stay."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / LAYOUT_MARKER).write_text(json.dumps({"layout": "waymo"}) + "\n")


def write_rig(folder: Path, cameras: Sequence[RigCamera]) -> None:
    """Writes calibration. InputError for a pose that is not rigid and for a pinhole that has not 9 finite numbers."""
    for camera in cameras:
        if len(camera.pinhole) != 9 or not np.isfinite(camera.pinhole).all():
            raise InputError(f"camera {camera.name}", f"pinhole {camera.pinhole}", "fx fy cx cy k1 k2 p1 p2 k3")
        require_rigid(camera.ego_from_camera, f"camera {camera.name}")
        np.savetxt(folder / "intrinsics" / f"{camera.name}.txt", camera.pinhole)
        np.savetxt(folder / "extrinsics" / f"{camera.name}.txt", camera.ego_from_camera)


def write_frame(
    folder: Path,
    t: int,
    world_from_ego: np.ndarray,
    images: Mapping[str, bytes | np.ndarray],
    scan: Scan | None = None,
    *,
    image_poses: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes one time stamp: pose [4, 4], one image per camera name, LiDAR if there is any.

    `image_poses` are the ego's poses when the named cameras took their images, where that moment is known; DriveStudio
    does not read these files. Encoded images (bytes of a JPEG or PNG) are written untouched, arrays [H, W, 3] uint8 as
    JPEG. A scan without a point is not written (readers refuse empty files). InputError for other bytes, other arrays
    and a pose that is not rigid.
    """
    poses = {f"{t:03d}": world_from_ego, **{f"{t:03d}_{name}": pose for name, pose in (image_poses or {}).items()}}
    for stem, pose in poses.items():
        np.savetxt(folder / "ego_pose" / f"{stem}.txt", require_rigid(pose, f"ego pose {stem}"))
    for name, image in images.items():
        _write_picture(folder / "images", f"{t:03d}_{name}", image)
    if scan is not None and len(scan.points):
        scan.rows().tofile(folder / "lidar" / f"{t:03d}.bin")


def _write_picture(folder: Path, stem: str, image: bytes | np.ndarray) -> None:
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(f"image {stem}", f"{image.dtype} {image.shape}", "uint8 [H, W, 3]")
        Image.fromarray(image).save(folder / f"{stem}.jpg", quality=JPEG_QUALITY, subsampling=0)
        return
    suffix = next((kind for start, kind in SIGNATURES.items() if image.startswith(start)), None)
    if suffix is None:
        raise InputError(f"image {stem}", f"{len(image)} bytes that start with {image[:4]!r}", "a JPEG or a PNG")
    (folder / f"{stem}.{suffix}").write_bytes(image)


def write_tracks(folder: Path, tracks: Sequence[BoxTrack] | Mapping[int, BoxTrack], num_frames: int) -> None:
    """Writes instances/instances_info.json, where instance i is tracks[i], and frame_instances.json.

    InputError for frames outside the clip or not ascending, poses that are not rigid, sizes that are not positive.
    """
    info: dict[str, dict] = {}
    per_frame: dict[str, list[int]] = {str(t): [] for t in range(num_frames)}
    for number, track in tracks.items() if isinstance(tracks, Mapping) else enumerate(tracks):
        _check_track(track, num_frames)
        notes = {
            "frame_idx": [int(t) for t in track.frames],
            "obj_to_world": track.world_from_box.tolist(),
            "box_size": track.size_m.tolist(),
        }
        if track.top_points is not None:
            notes["num_top_lidar_points"] = list(track.top_points)
        info[str(number)] = {"id": track.track_id, "class_name": track.class_name, "frame_annotations": notes}
        for t in track.frames:
            per_frame[str(t)].append(number)
    for name, content in (("instances_info.json", info), ("frame_instances.json", per_frame)):
        (folder / "instances" / name).write_text(json.dumps(content, indent=1))


def _check_track(track: BoxTrack, num_frames: int) -> None:
    where, frames = f"track {track.track_id}", np.array(track.frames, dtype=np.int64)
    if len(frames) == 0 or (np.diff(frames) <= 0).any() or frames[0] < 0 or frames[-1] >= num_frames:
        raise InputError(where, f"frames {track.frames}", f"ascending numbers from 0 to {num_frames - 1}")
    if track.world_from_box.shape != (len(frames), 4, 4) or track.size_m.shape != (len(frames), 3):
        raise InputError(where, f"{track.world_from_box.shape} poses, {track.size_m.shape} sizes", "one per frame")
    if not (track.size_m > 0).all():
        raise InputError(where, "a box without size", "positive lengths, widths and heights")
    for pose in track.world_from_box:
        require_rigid(pose, where)
