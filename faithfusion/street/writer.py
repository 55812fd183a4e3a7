"""Writes a street as a recorded drive in DriveStudio's layout, with the truth beside it."""

from __future__ import annotations

import dataclasses
import functools
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from faithfusion.data.drive_writer import JPEG_QUALITY, BoxTrack, RigCamera, write_rig, write_tracks
from faithfusion.street.cars import car_size
from faithfusion.street.lidar_scan import LIDAR_RANGE_M, lidar_scan
from faithfusion.street.rig import camera_intrinsics, ego_from_camera, view_at
from faithfusion.street.street_config import HFOV_DEG, StreetConfig, camera_shifts_m, check_config
from faithfusion.street.street_plan import S_START
from faithfusion.street.tracer import Picture, TracedScene, render_view
from faithfusion.street.truth import truth_paths
from faithfusion.street.world import StreetWorld, build_world, person_track, world_from_box
from faithfusion.utils.atomic import atomic_folder, require_same_facts
from faithfusion.utils.plain import to_plain
from faithfusion.utils.progress import say, track

FACTS = "street.json"  # the configuration the folder was made with; written last
GENERATOR_VERSION = 1


def make_street(config: StreetConfig, out: Path) -> None:
    """Writes the street of `config` into `out`; a complete folder of the same configuration is left as it is.

    Raises InputError for a bad configuration, or if `out` holds anything else.
    """
    check_config(config)
    out = Path(out)
    if out.exists():
        require_same_facts(out, FACTS, _facts(config), "finished street", "a street of another configuration")
        say(f"{out}: this street is already there")
        return
    with atomic_folder(out) as folder:
        for _ in track(_write_frames(config, folder), f"street {config.seed}", config.num_frames):
            pass
        _write_rig_and_labels(build_world_once(config), folder)
        (folder / FACTS).write_text(json.dumps(_facts(config), indent=1))


def _facts(config: StreetConfig) -> dict:
    """What the files depend on, named as in every version, so that a street made before is known again.

    Numbers that came later are left out where they are 0; two that are constants today are still named.
    """
    plain = to_plain(dataclasses.replace(config, num_workers=1, shifts_m=_shifts(config)))
    plain |= {"hfov_deg": HFOV_DEG, "lidar_range_m": LIDAR_RANGE_M}
    if config.num_side_shifts:  # they go by the order of the shifts
        plain["shifts_m"] = list(config.shifts_m)
    for key in ("num_pedestrians", "num_cyclists", "num_side_shifts"):
        if plain[key] == 0:
            del plain[key]
    return {"generator_version": GENERATOR_VERSION, "config": plain}


def _shifts(config: StreetConfig) -> tuple[float, ...]:
    return tuple(sorted({0.0, *(round(float(shift), 2) for shift in config.shifts_m)}))


def _write_frames(config: StreetConfig, folder: Path) -> Iterator[int]:
    """Writes all frames, over processes if asked; yields as they finish."""
    _make_folders(config, folder)
    work = functools.partial(_write_frame, config, folder)
    if config.num_workers == 1:
        yield from map(work, range(config.num_frames))
        return
    # spawn: Embree's threads do not survive a fork
    with multiprocessing.get_context("spawn").Pool(min(config.num_workers, config.num_frames)) as pool:
        yield from pool.imap_unordered(work, range(config.num_frames))


@functools.lru_cache(maxsize=1)
def build_world_once(config: StreetConfig) -> StreetWorld:
    """The street of `config`, kept for the next frame of the same process."""
    return build_world(config)


def _make_folders(config: StreetConfig, folder: Path) -> None:
    masks = [f"dynamic_masks/{kind}" for kind in ("all", "vehicle", "human")]
    for name in ("images", "intrinsics", "extrinsics", "ego_pose", "lidar", "sky_masks", "instances", *masks):
        (folder / name).mkdir(parents=True)
    for shift_m in _shifts(config):
        for path in truth_paths(folder, shift_m, "0", 0):
            path.parent.mkdir(parents=True)


def _write_frame(config: StreetConfig, folder: Path, t: int) -> int:
    world = build_world_once(config)
    scene = world.scene_at(t)
    np.savetxt(folder / "ego_pose" / f"{t:03d}.txt", world.world_from_ego[t])
    lidar_scan(world, scene, t).tofile(folder / "lidar" / f"{t:03d}.bin")
    for name in config.camera_names:
        picture = _picture(world, scene, t, name, 0.0)
        _write_recorded(world, folder, f"{t:03d}_{name}", picture)
        if name in config.truth_cameras:
            for shift_m in sorted({0.0, *camera_shifts_m(config, name)}):
                seen = picture if shift_m == 0 else _picture(world, scene, t, name, shift_m)
                _write_truth(truth_paths(folder, shift_m, name, t), seen)
    return t


def _picture(world: StreetWorld, scene: TracedScene, t: int, camera_name: str, shift_m: float) -> Picture:
    view = view_at(world.config, world.world_from_ego[t], camera_name, shift_m)
    return render_view(scene, world.plan, view, world.config.samples_per_pixel)


def _bytes(color: np.ndarray) -> Image.Image:
    return Image.fromarray((255 * color + 0.5).astype(np.uint8))


def _write_recorded(world: StreetWorld, folder: Path, stem: str, picture: Picture) -> None:
    _bytes(picture.color).save(folder / "images" / f"{stem}.jpg", quality=JPEG_QUALITY, subsampling=0)
    moving = [car.number + 1 for car in world.cars if car.is_moving]
    vehicle = np.isin(picture.instance_ids, moving)
    human = np.isin(picture.instance_ids, [person.number + 1 for person in world.people])
    masks = {"sky_masks": picture.depth == 0, "dynamic_masks/all": vehicle | human, "dynamic_masks/vehicle": vehicle,
             "dynamic_masks/human": human}  # fmt: skip
    for name, mask in masks.items():
        Image.fromarray(255 * mask.astype(np.uint8)).save(folder / name / f"{stem}.png")


def _write_truth(paths: tuple[Path, Path, Path], picture: Picture) -> None:
    color_path, depth_path, ids_path = paths
    _bytes(picture.color).save(color_path)
    np.savez_compressed(depth_path, depth=picture.depth.astype(np.float32))
    Image.fromarray(picture.instance_ids).save(ids_path)


def _write_rig_and_labels(world: StreetWorld, folder: Path) -> None:
    config, matrix = world.config, camera_intrinsics(world.config)
    pinhole = (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2], 0, 0, 0, 0, 0)
    write_rig(folder, [RigCamera(name, pinhole, ego_from_camera(name)) for name in config.camera_names])
    write_tracks(folder, dict(_tracks(world)), config.num_frames)
    (folder / "lanes.json").write_text(json.dumps(_lanes(world), indent=1))


def _tracks(world: StreetWorld) -> Iterator[tuple[int, BoxTrack]]:
    """Number and track of everything that has a box."""
    for car in (car for car in world.cars if car.frames):
        poses = [world_from_box(world, car, t) for t in car.frames]
        yield car.number, _track(f"car_{car.number:03d}", "Vehicle", car.frames, poses, car_size(car.plan.kind))
    for person in (person for person in world.people if person.frames):
        poses, size = person_track(world, person)
        name = f"{person.plan.class_name.lower()}_{person.number:03d}"
        yield person.number, _track(name, person.plan.class_name, person.frames, poses, size)


def _track(
    name: str,
    class_name: str,
    frames: tuple[int, ...],
    poses: Sequence[np.ndarray] | np.ndarray,
    size_m: Sequence[float] | np.ndarray,
) -> BoxTrack:
    return BoxTrack(name, class_name, frames, np.stack(poses), np.tile(size_m, (len(frames), 1)))


def _lanes(world: StreetWorld) -> list[dict]:
    """Middle lines of the painted lane markings as world polylines, one point per metre."""
    s = np.arange(S_START, world.plan.s_end + 0.5)
    return [
        {
            "lateral_m": line.lateral_m,
            "width_m": line.width_m,
            "kind": "dashed" if line.period_m > 0 else "solid",
            "points_world": world.plan.centreline.at(s, line.lateral_m).round(4).tolist(),
            "is_painted": [not any(a <= at <= b for a, b in line.gaps) for at in s.tolist()],
        }
        for line in world.plan.markings
    ]
