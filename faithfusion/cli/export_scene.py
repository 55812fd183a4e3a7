"""Writes a scene for viewers: python tools/export_scene.py --scene_checkpoint RUN/scene.safetensors --out FILE

FILE ends with .ply (all viewers), .compressed.ply (SuperSplat, PlayCanvas), .spz or .splat. With --clip the drive's
cameras are written beside it as 3DGS cameras.json. The sky is no Gaussian and is not in these files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from faithfusion.data.camera_drive import drive_cameras
from faithfusion.data.camera_files import write_cameras_json
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.layouts import OPENCV2DATASET
from faithfusion.data.posed_camera import move_cameras
from faithfusion.scene.graph import gaussians_at
from faithfusion.scene.move_gaussians import move_gaussians
from faithfusion.scene.scene_file import load_scene
from faithfusion.scene.splat_files import export_gaussians
from faithfusion.utils.atomic import require_writable
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say
from faithfusion.utils.similarity import Similarity

VIEWER_FROM_WORLD = Similarity(OPENCV2DATASET[:3, :3].T.copy(), np.zeros(3))
"""Viewers expect y down and z ahead, as the worlds of 3DGS have it."""


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--scene_checkpoint", type=Path, required=True, help="scene.safetensors of a run")
    parser.add_argument("--out", type=Path, required=True, help="file to write; its suffix chooses the format")
    parser.add_argument("--time", type=int, default=0, help="time stamp at which moving objects are frozen")
    parser.add_argument("--z_up", action="store_true", help="keep the axes of our worlds instead of the viewers'")
    parser.add_argument("--clip", type=Path, metavar="DRIVE", help="write its cameras to cameras.json beside --out")
    parser.add_argument("--camera", default="", help="camera of the drive (default: the first)")
    options = parser.parse_args(argv)
    scene, _ = load_scene(options.scene_checkpoint)
    clip = read_drive(options.clip) if options.clip else None
    if options.time < 0 or (clip is not None and options.time >= clip.num_frames):
        raise InputError("--time", options.time, "a time stamp of the drive")
    require_writable(options.out.parent)
    move = Similarity(np.eye(3), np.zeros(3)) if options.z_up else VIEWER_FROM_WORLD
    gaussians = gaussians_at(scene, options.time)
    export_gaussians(options.out, move_gaussians(gaussians, move))
    num = int((gaussians.opacity_logits.sigmoid() > 0).sum())
    say(f"{options.out}: {num} Gaussians at time stamp {options.time}, without the sky")
    if clip is not None:
        name = options.camera or clip.camera_names[0]
        if name not in clip.camera_names:
            raise InputError("--camera", name, f"one of {', '.join(clip.camera_names)}")
        path = options.out.with_name("cameras.json")
        write_cameras_json(path, move_cameras(drive_cameras(clip, name), move))
        say(f"{path}: {clip.num_frames} cameras")
