"""Reads a drive in any of the layouts that DriveStudio's preprocessing writes (github.com/ziyc/drivestudio).

    images/{t:03d}_{cam}.jpg|png      intrinsics/{cam}.txt: fx fy cx cy k1 k2 p1 p2 k3
    extrinsics/{cam}.txt: camera (x forward, y left, z up) to ego      ego_pose/{t:03d}.txt: ego to world
    optional: lidar/{t:03d}.bin, sky_masks/ and (fine_)dynamic_masks/all/{t:03d}_{cam}.png, ego_masks/{cam}.png,
    instances/instances_info.json and frame_instances.json, ego_pose/{t:03d}_{cam}.txt, layout.json

This is the Waymo layout. `layouts` says how the others differ from it, and `layout_evidence` tells them apart.

World frame of the result: the data set's world moved by the inverse of the first ego pose, as DriveStudio does. The ego
starts at the origin looking along +x with z up, so coordinates stay small enough for float32 (Waymo's are not).
Everything that can be wrong is checked here, before any work starts; pixels are decoded later (`data.images`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from faithfusion.data.calibration_text import invert_rigid, read_intrinsics
from faithfusion.data.image_files import image_size
from faithfusion.data.instances import FrameNumbers, read_tracks
from faithfusion.data.layout_evidence import find_layout
from faithfusion.data.layouts import Layout, read_marker
from faithfusion.data.lidar import check_scan
from faithfusion.data.recorded_poses import (
    clip_from_dataset,
    pose_indices,
    read_ego_pose,
    read_image_pose,
    read_rig_pose,
    read_scan_pose,
)
from faithfusion.types import Camera, DriveClip, Frame
from faithfusion.utils.errors import InputError

NAMED = 4  # so many empty scans are named
IMAGE_NAME = re.compile(r"(\d+)_(.+)\.(jpg|jpeg|png)", re.IGNORECASE)


def read_drive(
    root: Path, *, camera_names: Sequence[str] | None = None, num_frames: int | None = None, layout: str | None = None
) -> DriveClip:
    """Reads and validates a drive; the first `num_frames` time stamps (all if None) of `camera_names` (all if None).

    `layout` names the data set whose preprocessing wrote the folder; None finds it out (`layout_evidence`). Optional
    parts that are absent are named in `DriveClip.missing`. Raises InputError for a missing folder, frame or pose, an
    unknown camera, a window longer than the clip, a cut-off image, images of different sizes in one camera, a pose that
    is not finite or not rigid, a damaged LiDAR scan, boxes at frames that do not exist, and a folder that fits several
    layouts or none.
    """
    root = Path(root)
    images = _list_images(root)
    kind = find_layout(root, layout)
    names = _choose_cameras(root, images, camera_names)
    numbers = _pose_indices(root, kind)
    first = min(numbers)
    images = {(number - first, name): path for (number, name), path in images.items()}
    total = 1 + max([t for t, name in images if name in names] + [max(numbers) - first])
    length = _choose_length(root, num_frames, total)
    dataset_from_ego = np.stack([read_ego_pose(root, kind, t) for t in range(length)])
    clip_from_world = invert_rigid(dataset_from_ego[0])
    rig = [_read_rig_camera(root, kind, images, first, name) for name in names]
    frames = []
    for t in range(length):
        for camera in rig:
            pose = read_image_pose(root, kind, t, camera.name, camera.ego_from_camera, dataset_from_ego[t])
            frames.append(_read_frame(root, images, t, first, camera, clip_from_world @ pose))
    numbering = FrameNumbers(first, total, length)
    tracks = read_tracks(root / "instances", clip_from_world, numbering, body_from_flu=kind.body_from_flu)
    scans = _read_lidar_paths(root, kind, first, length)
    return DriveClip(
        name=root.resolve().name,
        root=root,
        num_frames=length,
        camera_names=names,
        frames=tuple(frames),
        world_from_ego=torch.from_numpy(clip_from_world @ dataset_from_ego).float(),
        lidar_paths=scans,
        tracks=tracks or (),
        missing=_name_missing(root, frames, scans, tracks is not None),
        frame_rate_hz=float(read_marker(root).get("frame_rate_hz", kind.frame_rate_hz)),
        layout=kind.name,
    )


def clip_from_dataset_world(root: Path, layout: str | None = None) -> np.ndarray:
    """The 4x4 that takes the data set's world into the clip's (inverse of the first ego pose), float64."""
    return clip_from_dataset(Path(root), find_layout(Path(root), layout))


@dataclass(frozen=True)
class _RigCamera:
    name: str
    intrinsics: np.ndarray
    ego_from_camera: np.ndarray | None  # OpenCV camera axes; None if every image has its own pose
    size: tuple[int, int]  # width, height of the first image


def _list_images(root: Path) -> dict[tuple[int, str], Path]:
    for folder in (root, root / "images", root / "intrinsics", root / "extrinsics"):
        if not folder.is_dir():
            raise InputError(folder, "no such folder", "a drive in DriveStudio's layout")
    matches = ((IMAGE_NAME.fullmatch(path.name), path) for path in sorted((root / "images").iterdir()))
    images = {(int(match[1]), match[2]): path for match, path in matches if match}
    if not images:
        raise InputError(root / "images", "no images", "files named 000_0.jpg (frame, camera)")
    return images


def _choose_cameras(root: Path, images: dict, wanted: Sequence[str] | None) -> tuple[str, ...]:
    present = sorted({name for _, name in images}, key=lambda name: (not name.isdigit(), len(name), name))
    names = tuple(present if wanted is None else map(str, wanted))
    for name in names:
        if name not in present:
            raise InputError(root, f"no camera {name!r}", f"one of {', '.join(present)}")
    if not names or len(set(names)) != len(names):
        raise InputError(root, f"cameras {names}", "at least one camera, each once")
    return names


def _pose_indices(root: Path, layout: Layout) -> list[int]:
    if layout.ego_pose and not (root / "ego_pose").is_dir():
        raise InputError(root / "ego_pose", "no such folder", "a drive in DriveStudio's layout")
    return pose_indices(root, layout)


def _choose_length(root: Path, num_frames: int | None, total: int) -> int:
    if num_frames is None:
        return total
    if not 1 <= num_frames <= total:
        raise InputError(root, f"num_frames = {num_frames}", f"1 to {total}, the length of the clip")
    return num_frames


def _read_rig_camera(root: Path, layout: Layout, images: dict, first: int, name: str) -> _RigCamera:
    intrinsics, _ = read_intrinsics(root / "intrinsics" / f"{name}.txt")
    ego_from_camera = read_rig_pose(root, layout, name)
    return _RigCamera(name, intrinsics, ego_from_camera, image_size(_image_path(root, images, 0, first, name)))


def _image_path(root: Path, images: dict, t: int, first: int, name: str) -> Path:
    if (t, name) not in images:
        numbers = sorted(first + other for other, camera in images if camera == name)
        expected = f"one image per camera and frame; this camera has numbers {numbers[0]} to {numbers[-1]}"
        raise InputError(root / "images" / f"{first + t:03d}_{name}.jpg", "missing frame", expected)
    return images[t, name]


def _read_frame(root: Path, images: dict, t: int, first: int, rig: _RigCamera, world_from_camera: np.ndarray) -> Frame:
    path = _require_image_size(_image_path(root, images, t, first, rig.name), rig)
    stem = f"{first + t:03d}_{rig.name}"
    dynamic = "fine_dynamic_masks" if (root / "fine_dynamic_masks").is_dir() else "dynamic_masks"
    masks = {
        "sky_mask_path": root / "sky_masks" / f"{stem}.png",
        "dynamic_mask_path": root / dynamic / "all" / f"{stem}.png",
        "ego_mask_path": root / "ego_masks" / f"{rig.name}.png",
    }
    present = {key: _require_image_size(mask, rig) for key, mask in masks.items() if mask.is_file()}
    camera = Camera(
        intrinsics=torch.from_numpy(rig.intrinsics).float(),
        world_from_camera=torch.from_numpy(world_from_camera).float(),
        width=rig.size[0],
        height=rig.size[1],
        name=rig.name,
    )
    return Frame(time_index=t, camera_name=rig.name, camera=camera, image_path=path, **present)


def _require_image_size(path: Path, rig: _RigCamera) -> Path:
    width, height = image_size(path)
    if (width, height) != rig.size:
        expected = f"{rig.size[0]}x{rig.size[1]} as in the first image of camera {rig.name}"
        raise InputError(path, f"size {width}x{height}", expected)
    return path


def _read_lidar_paths(root: Path, layout: Layout, first: int, length: int) -> tuple[Path | None, ...]:
    """The scans; None where there is none or its file is empty, because the scanner returned nothing."""
    paths = [root / "lidar" / f"{first + t:03d}.bin" for t in range(length)]
    present = [path.is_file() and path.stat().st_size > 0 for path in paths]
    scans = tuple(
        check_scan(path, layout.scan_columns) if here else None for path, here in zip(paths, present, strict=True)
    )
    for t, path in enumerate(scans):
        if path is not None and layout.scan_pose:
            read_scan_pose(root, layout, t)
    return scans


def _name_missing(root: Path, frames: list[Frame], scans: tuple[Path | None, ...], has_boxes: bool) -> tuple[str, ...]:
    absent = {
        "sky masks": [frame.sky_mask_path is None for frame in frames],
        "dynamic masks": [frame.dynamic_mask_path is None for frame in frames],
        "ego masks": [frame.ego_mask_path is None for frame in frames],
        "lidar": [path is None for path in scans],
        "boxes": [not has_boxes],
    }
    parts = [
        name if all(flags) else f"{name} ({sum(flags)} of {len(flags)})" for name, flags in absent.items() if any(flags)
    ]
    empty = sorted(path.name for path in (root / "lidar").glob("*.bin") if path.stat().st_size == 0)
    named = f"; empty: {', '.join(empty[:NAMED])}" + (", ..." if len(empty) > NAMED else "") if empty else ""
    return tuple(part.replace(")", f"{named})") if part.startswith("lidar (") else part for part in parts)
