"""A segment of the Waymo Open Dataset v2 as a drive, written as a stream: memory does not grow with its length."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from faithfusion.data.box_masks import write_dynamic_masks
from faithfusion.data.drive_map import MAP_FILE, DriveMap, write_drive_map
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.drive_writer import LAYOUT_MARKER, make_folders, write_frame, write_rig, write_tracks
from faithfusion.data.waymo import components as c
from faithfusion.data.waymo.box_tracks import read_tracks
from faithfusion.data.waymo.parquet_rows import list_segments, need_pyarrow
from faithfusion.data.waymo.segment import Segment
from faithfusion.data.waymo.segment_map import read_segment_map
from faithfusion.data.waymo.waymo_config import WaymoConfig
from faithfusion.utils.atomic import atomic_folder, require_same_facts, require_writable
from faithfusion.utils.errors import InputError
from faithfusion.utils.json_files import read_json
from faithfusion.utils.plain import to_plain
from faithfusion.utils.progress import say, track

FACTS = "waymo.json"  # which segment the drive was made of, with which options


def prepare_segment(
    data: Path, out: Path, config: WaymoConfig, *, segment: str | None = None, map_file: Path | None = None
) -> None:
    """Writes one segment of the folder `data` (component folders with SEGMENT.parquet files) into the new folder `out`.

    `segment` may be left out if there is one only. `map_file` is the same segment's TFRecord, whose map the drive gets.
    A folder that holds the same segment with the same options is left as it is, but for a map that it lacks. Nothing
    appears at `out` before all of it is written and has been read back. Raises InputError for missing or damaged files,
    unknown segments, frames beyond the end, images that are missing or no images, and an `out` that holds something
    else.
    """
    need_pyarrow()
    name = _choose_segment(data, segment)
    facts = {"segment": name, "config": to_plain(config)}
    if out.exists():
        require_same_facts(out, FACTS, facts, "prepared Waymo segment", "another segment or other options")
        say(f"{out}: this segment is already there")
        if map_file is not None and not (out / MAP_FILE).exists():
            _write_map(out, read_segment_map(map_file, name, read_json(out / FACTS)["times_us"]))
        return
    require_writable(out.parent)
    source = Segment(data, name, config)
    drive_map = None if map_file is None else read_segment_map(map_file, name, source.times)
    with atomic_folder(out) as folder:
        make_folders(folder)
        write_rig(folder, source.rig())
        for t, frame in enumerate(track(source.frames(), name, len(source.times))):
            write_frame(folder, t, frame.world_from_vehicle, frame.images, frame.scan, image_poses=frame.image_poses)
            for camera, mask in frame.sky_masks.items():
                (folder / "sky_masks").mkdir(exist_ok=True)
                Image.fromarray(mask).save(folder / "sky_masks" / f"{t:03d}_{camera}.png")
        _write_boxes(folder, data, source)
        if drive_map is not None:
            _write_map(folder, drive_map)
        times_s = [(time - source.times[0]) / 1e6 for time in source.times]
        (folder / LAYOUT_MARKER).write_text(json.dumps({"layout": "waymo", "times_s": times_s}) + "\n")
        (folder / FACTS).write_text(json.dumps(facts | {"times_us": source.times}, indent=1))
        clip = read_drive(folder)
    say(f"{out}: {clip.num_frames} frames, cameras {', '.join(clip.camera_names)}, {len(clip.tracks)} tracks"
        + (f"; missing: {', '.join(clip.missing)}" if clip.missing else ""))  # fmt: skip


def _write_map(folder: Path, drive_map: DriveMap) -> None:
    write_drive_map(folder, drive_map)
    say(f"{MAP_FILE}: {len(drive_map.lines)} lines, {drive_map.source}")


def _write_boxes(folder: Path, data: Path, source: Segment) -> None:
    if not (data / c.LIDAR_BOX.tag).is_dir():
        say(f"{data}: no {c.LIDAR_BOX.tag}, so no boxes and no dynamic masks")
        return
    poses = [source.pose_at(time) for time in source.times]
    tracks, seen = read_tracks(data, source.name, source.times, poses, synced=source.config.synced_boxes)
    write_tracks(folder, tracks, len(poses))
    if source.config.masks:
        say("dynamic masks from the boxes of what moves")
        write_dynamic_masks(folder, seen, len(poses))


def _choose_segment(data: Path, segment: str | None) -> str:
    names = list_segments(data)
    if segment is None and len(names) == 1:
        return names[0]
    if segment not in names:
        found = "no segment named" if segment is None else f"no segment {segment}"
        shown = ", ".join(names[:3]) + (f" ... ({len(names)} of them)" if len(names) > 3 else "")
        raise InputError(data, found, f"one of {shown}")
    return segment
