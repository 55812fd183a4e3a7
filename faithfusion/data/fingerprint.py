"""What tells the content of a drive from another one's, without reading its images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from faithfusion.types import DriveClip, Frame
from faithfusion.utils.plain import config_hash


def drive_fingerprint(clip: DriveClip, frames: Sequence[Frame]) -> str:
    """Changes with the cameras and poses of `frames`, with boxes, and with names and sizes of images, masks and scans;
    stays when the drive is copied elsewhere."""
    files = [path for f in frames for path in (f.image_path, f.sky_mask_path, f.dynamic_mask_path, f.ego_mask_path)]
    cameras = [
        (f.time_index, f.camera_name, _values(f.camera.intrinsics), _values(f.camera.world_from_camera)) for f in frames
    ]
    boxes = [(track.track_id, _values(track.size_m), _values(track.world_from_box)) for track in clip.tracks]
    return config_hash(cameras, boxes, _values(clip.world_from_ego), [_size(p) for p in [*files, *clip.lidar_paths]])


def _values(tensor: Tensor) -> list[float]:
    return tensor.double().flatten().tolist()


def _size(path: Path | None) -> tuple[str, int] | None:
    return None if path is None or not path.is_file() else (path.name, path.stat().st_size)
