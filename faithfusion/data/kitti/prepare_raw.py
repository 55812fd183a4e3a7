"""A drive of KITTI raw as a drive of ours, written as a stream. The ego frame is the LiDAR's."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from faithfusion.data.box_masks import write_dynamic_masks
from faithfusion.data.calibration_text import invert_rigid
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.drive_writer import Scan, make_folders, write_frame, write_rig, write_tracks
from faithfusion.data.image_files import image_size
from faithfusion.data.kitti.kitti_calibration import KittiCalibration, read_calibration, rig_camera
from faithfusion.data.kitti.kitti_config import KittiConfig
from faithfusion.data.kitti.oxts import read_packet, read_times_s, world_from_imu
from faithfusion.data.kitti.tracklets import read_tracklets
from faithfusion.data.layouts import MARKER
from faithfusion.utils.atomic import atomic_folder, require_same_facts, require_writable
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain
from faithfusion.utils.progress import say, track

FACTS = "kitti.json"  # which drive this was made of, with which options
FRAME_RATE_HZ = 10.0  # where there are no time stamps
SCAN_COLUMNS = 4  # x, y, z, reflectance


def prepare_kitti(source: Path, out: Path, config: KittiConfig) -> None:
    """Writes `source`, a folder DATE_drive_NUMBER_sync beside the day's calibration files, into the new folder `out`.

    Frames without a whole LiDAR scan are written without one and named. A folder that holds the same drive with the
    same options is left as it is; nothing appears at `out` before all of it is written and has been read back. Raises
    InputError for missing or damaged files and for an `out` that holds something else.
    """
    facts = {"drive": source.resolve().name, "config": to_plain(config)}
    if out.exists():
        require_same_facts(out, FACTS, facts, "prepared KITTI drive", "another drive or other options")
        say(f"{out}: this drive is already there")
        return
    calibration = read_calibration(source.resolve().parent, config.cameras)
    frames = choose_frames(source, config)
    world_from_velo = read_poses(source, calibration, frames)
    require_writable(out.parent)
    with atomic_folder(out) as folder:
        make_folders(folder)
        _write_marker(folder, source, frames)
        sizes = [_size(calibration, number, config.scale) for number in config.cameras]
        rig = zip(config.cameras, sizes, strict=True)
        write_rig(folder, [rig_camera(calibration.cameras[n], str(i), size) for i, (n, size) in enumerate(rig)])
        without = []
        for t, frame in enumerate(track(frames, facts["drive"], len(frames))):
            images = {
                str(i): _read_image(source, number, frame, calibration.cameras[number].size, sizes[i])
                for i, number in enumerate(config.cameras)
            }
            scan = read_scan(source / "velodyne_points" / "data" / f"{frame:010d}.bin")
            without += [] if scan is not None else [frame]
            write_frame(folder, t, world_from_velo[t], images, scan)
        _write_boxes(folder, source, world_from_velo, config)
        (folder / FACTS).write_text(json.dumps(facts | {"frames": frames}, indent=1))
        clip = read_drive(folder)
    if without:
        say(f"{source}: no whole LiDAR scan at {len(without)} frames: {', '.join(map(str, without))}")
    say(f"{out}: {clip.num_frames} frames, cameras {', '.join(clip.camera_names)}, {len(clip.tracks)} tracks"
        + (f"; missing: {', '.join(clip.missing)}" if clip.missing else ""))  # fmt: skip


def choose_frames(source: Path, config: KittiConfig) -> list[int]:
    """Numbers of the frames to write. InputError for a folder without images and for a start beyond the end."""
    folder = source / f"image_{config.cameras[0]:02d}" / "data"
    present = sorted(int(path.stem) for path in folder.glob("*") if path.stem.isdigit())
    if not present:
        raise InputError(folder, "no images", "a drive of KITTI raw (DATE_drive_NUMBER_sync) with 0000000000.png, ...")
    end = present[-1] + 1 if config.frames is None else config.start + config.frames
    if config.start >= end or end > present[-1] + 1:
        raise InputError(folder, f"frames {config.start} to {end - 1}", f"frames within 0 to {present[-1]}")
    return list(range(config.start, end))


def read_poses(source: Path, calibration: KittiCalibration, frames: list[int]) -> np.ndarray:
    """world_from_velo [T, 4, 4]; the world stands at the drive's first frame, x east, y north, z up."""
    folder = source / "oxts" / "data"
    origin = read_packet(min(folder.glob("*.txt"), default=folder / f"{0:010d}.txt"))
    packets = [read_packet(folder / f"{frame:010d}.txt") for frame in frames]
    imu_from_velo = invert_rigid(calibration.velo_from_imu)
    return np.stack([world_from_imu(packet, origin) @ imu_from_velo for packet in packets])


def read_scan(path: Path) -> Scan | None:
    """A scan in the LiDAR's frame; None if the file is missing or not whole, which some drives' are."""
    if not path.is_file() or path.stat().st_size == 0 or path.stat().st_size % (4 * SCAN_COLUMNS):
        return None
    rows = np.fromfile(path, dtype="<f4").reshape(-1, SCAN_COLUMNS)
    rows = rows[np.isfinite(rows).all(1)]
    return Scan(np.zeros((len(rows), 3)), rows[:, :3], rows[:, 3]) if len(rows) else None


def _size(calibration: KittiCalibration, number: int, scale: float) -> tuple[int, int]:
    width, height = calibration.cameras[number].size
    return max(1, round(width * scale)), max(1, round(height * scale))


def _read_image(
    source: Path, number: int, frame: int, recorded: tuple[int, int], size: tuple[int, int]
) -> bytes | np.ndarray:
    """The file's own bytes, or the picture reduced to `size`. InputError if it is missing or of another size."""
    folder = source / f"image_{number:02d}" / "data"
    found = [path for suffix in ("png", "jpg") if (path := folder / f"{frame:010d}.{suffix}").is_file()]
    path = found[0] if found else folder / f"{frame:010d}.png"
    if image_size(path) != recorded:
        width, height = image_size(path)
        raise InputError(path, f"size {width}x{height}", f"{recorded[0]}x{recorded[1]} as in the calibration (S_rect)")
    if size == recorded:
        return path.read_bytes()
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        return np.array(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))


def _write_marker(folder: Path, source: Path, frames: list[int]) -> None:
    """The layout's marker with the time stamps and their rate."""
    times = read_times_s(source / "oxts" / "timestamps.txt")
    times = None if times is None or len(times) <= frames[-1] else times[frames[0] : frames[-1] + 1]
    rate = float(1.0 / np.median(np.diff(times))) if times is not None and len(times) > 1 else FRAME_RATE_HZ
    marker = {"layout": "waymo", "frame_rate_hz": round(rate, 3)}
    marker |= {} if times is None else {"times_s": [round(float(time - times[0]), 6) for time in times]}
    (folder / MARKER).write_text(json.dumps(marker) + "\n")


def _write_boxes(folder: Path, source: Path, world_from_velo: np.ndarray, config: KittiConfig) -> None:
    path = source / "tracklet_labels.xml"
    if not path.is_file():
        say(f"{path}: no such file, so no boxes and no dynamic masks")
        (folder / "instances").rmdir()
        return
    tracks = read_tracklets(path, world_from_velo, config.start)
    write_tracks(folder, tracks, len(world_from_velo))
    if config.masks:
        say("dynamic masks from the boxes of what moves")
        write_dynamic_masks(folder, tracks, len(world_from_velo))
