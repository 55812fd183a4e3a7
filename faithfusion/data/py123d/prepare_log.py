"""Writes a py123d log as a drive: one iteration at a time, only those at which all cameras have an image."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from faithfusion.data.drive_map import write_drive_map
from faithfusion.data.drive_writer import LAYOUT_MARKER, make_folders, write_frame, write_rig, write_tracks
from faithfusion.data.py123d.bridge_cameras import BridgeCamera, choose_cameras, ego_from_imu, matrix
from faithfusion.data.py123d.map_lines import read_log_map
from faithfusion.data.py123d.py123d_config import Py123dConfig
from faithfusion.data.py123d.sensors import collect_tracks, read_image, read_scan
from faithfusion.utils.atomic import atomic_folder, require_same_facts, require_writable
from faithfusion.utils.errors import InputError

FACTS = "py123d.json"  # which log this was made of, with which options
FRAME_RATE_HZ = 10.0  # of a drive of one frame
SAME_POSE = 1e-6  # largest difference of two poses' numbers that counts as none


def open_log(log: Path) -> Any:
    """The scene of a whole log folder. InputError if py123d is not there or the folder is no log."""
    if not (log / "sync.arrow").is_file():
        raise InputError(log, "no sync.arrow", "the folder of one py123d log")
    try:
        from py123d.api.scene.arrow.arrow_scene_api import ArrowSceneAPI
    except ImportError as error:
        raise InputError("py123d", error, "py123d's own environment: python -m venv ENV; pip install py123d") from None
    return ArrowSceneAPI(log)


def prepare_log(log: Path, out: Path, config: Py123dConfig) -> None:
    """Writes the log folder `log` into the new folder `out`.

    A folder that holds the same log with the same options is left as it is; nothing appears at `out` before all of it
    is written. Raises InputError for a folder that is no log, unknown cameras, iterations beyond the end, no iteration
    with images of all cameras, and an `out` that holds something else.
    """
    scene = open_log(log)
    facts = {"log": scene.log_name, "config": dataclasses.asdict(config)}
    if out.exists():
        require_same_facts(out, FACTS, facts, "prepared py123d log", "another log or other options")
        _say(f"{out}: this log is already there")
        return
    cameras = choose_cameras(scene, config.cameras, config.fov_deg)
    iterations = _choose_iterations(scene, config)
    require_writable(out.parent)
    with atomic_folder(out) as folder:
        make_folders(folder)
        write_rig(folder, [camera.rig for camera in cameras])
        written: list[int] = []
        for iteration in iterations:
            if _write_iteration(scene, cameras, folder, len(written), iteration):
                written.append(iteration)
        if not written:
            raise InputError(log, "no iteration with an image of every camera", "fewer cameras (--cameras)")
        write_tracks(folder, collect_tracks(scene, written), len(written))
        drive_map, map_remark = read_log_map(scene, written)
        if drive_map is not None:
            write_drive_map(folder, drive_map)
        times_us = [int(scene.get_timestamp_at_iteration(iteration).time_us) for iteration in written]
        rate = 1e6 / float(np.median(np.diff(times_us))) if len(written) > 1 else FRAME_RATE_HZ
        times_s = [(time - times_us[0]) / 1e6 for time in times_us]
        marker = {"layout": "waymo", "frame_rate_hz": round(rate, 3), "times_s": times_s}
        (folder / LAYOUT_MARKER).write_text(json.dumps(marker) + "\n")
        (folder / FACTS).write_text(json.dumps(facts | {"iterations": written, "times_us": times_us}, indent=1))
    left_out = len(iterations) - len(written)
    named = ", ".join(f"{camera.rig.name} = {camera.camera_id.serialize()}" for camera in cameras)
    _say(f"{out}: {len(written)} frames, cameras {named}; {map_remark}"
         + (f"; {left_out} iterations without an image of every camera were left out" if left_out else ""))  # fmt: skip


def _choose_iterations(scene: Any, config: Py123dConfig) -> list[int]:
    total = scene.number_of_iterations
    end = total if config.frames is None else config.start + config.frames
    if not config.start < end <= total:
        raise InputError(scene.log_name, f"iterations {config.start} to {end - 1}", f"within 0 to {total - 1}")
    return list(range(config.start, end))


def _write_iteration(scene: Any, cameras: list[BridgeCamera], folder: Path, t: int, iteration: int) -> bool:
    """Writes frame t; False, and nothing written, if the iteration lacks an image or the ego's pose."""
    ego = scene.get_ego_state_se3_at_iteration(iteration)
    seen = {camera.rig.name: read_image(scene, camera, iteration) for camera in cameras}
    if ego is None or any(view is None for view in seen.values()):
        return False
    world_from_ego = matrix(ego.rear_axle_se3)
    images = {name: view[0] for name, view in seen.items()}
    moved = {name: view[1] for name, view in seen.items() if np.abs(view[1] - world_from_ego).max() > SAME_POSE}
    write_frame(folder, t, world_from_ego, images, read_scan(scene, iteration, ego_from_imu(scene)), image_poses=moved)
    if t % 10 == 0:
        _say(f"iteration {iteration}: frame {t}")
    return True


def _say(message: str) -> None:
    sys.stderr.write(message + "\n")
