"""Files of posed cameras: 3DGS `cameras.json`, nerfstudio `transforms.json`, COLMAP model folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from faithfusion.data.colmap import read_colmap
from faithfusion.data.posed_camera import PosedCamera, in_order, make_camera, match_cameras
from faithfusion.data.transforms_json import parse_transforms
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError
from faithfusion.utils.json_files import read_json


def read_cameras(
    path: Path, *, match: str = "*", original_world: bool = False, dataparser_transforms: Path | None = None
) -> list[PosedCamera]:
    """Cameras of a file or COLMAP folder in the order of their names; axes and units of the world are the file's.
    `match` is a shell pattern that their names must fit; of a COLMAP model the cameras of other pictures do not matter.

    For `transforms.json` only: `original_world` undoes its `applied_transform`; `dataparser_transforms` (written by
    nerfstudio beside a trained model) takes the cameras into the world of that model's Gaussians. InputError for
    something else than cameras, a pattern that fits none, an unknown camera model, a pose that is not rigid.
    """
    if path.is_dir():
        return in_order(path, read_colmap(path, match))
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get("frames"), list):
        found = in_order(path, parse_transforms(path, content, original_world, dataparser_transforms))
        return match_cameras(found, match)
    if isinstance(content, list):
        found = in_order(path, [_parse_entry(f"{path}, camera {i}", entry) for i, entry in enumerate(content)])
        return match_cameras(found, match)
    found = f"a JSON {type(content).__name__} without frames"
    raise InputError(path, found, "cameras.json of 3DGS, transforms.json of nerfstudio, or a COLMAP folder")


def write_cameras_json(path: Path, cameras: Sequence[PosedCamera]) -> None:
    """Writes 3DGS `cameras.json`, which viewers take as start views. Principal points off the centre and distortion
    have no place in it and are added under names of our own (cx, cy, distortion)."""
    entries = []
    for index, camera in enumerate(cameras):
        entry = {"id": index, "img_name": camera.name, "width": camera.width, "height": camera.height}
        pose = camera.world_from_camera
        entry |= {"position": pose[:3, 3].tolist(), "rotation": pose[:3, :3].tolist()}
        entry |= {"fx": camera.pinhole[0], "fy": camera.pinhole[1], "cx": camera.pinhole[2], "cy": camera.pinhole[3]}
        entries.append(entry | {"distortion": list(camera.pinhole[4:])} if any(camera.pinhole[4:]) else entry)
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(entries))


def _parse_entry(where: str, entry: Any) -> PosedCamera:
    """Reads one camera of `cameras.json`: its centre, and its rotation from camera to world by rows, OpenCV axes."""
    try:
        size = (int(entry["width"]), int(entry["height"]))
        pose = np.eye(4)
        pose[:3, :3] = np.asarray(entry["rotation"], dtype=np.float64).reshape(3, 3)
        pose[:3, 3] = np.asarray(entry["position"], dtype=np.float64).reshape(3)
        centre = (float(entry.get("cx", size[0] / 2)), float(entry.get("cy", size[1] / 2)))
        distortion = tuple(map(float, entry.get("distortion", (0.0,) * 5)))
        pinhole = (float(entry["fx"]), float(entry["fy"]), *centre, *distortion)
        name = str(entry["img_name"])
    except KeyError as error:
        raise InputError(where, f"no key {error}", "img_name, width, height, position, rotation, fx, fy") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(where, f"cannot be read ({error})", "a camera of 3DGS cameras.json") from None
    return make_camera(where, name, size, pinhole, pose)
