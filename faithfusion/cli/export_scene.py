"""Writes a scene for viewers: python tools/export_scene.py --scene_checkpoint RUN/scene.safetensors --out FILE

FILE ends with .ply (all viewers), .compressed.ply (SuperSplat, PlayCanvas), .spz or .splat. With --clip the drive's
cameras are written beside it as cameras.json of 3DGS. The sky is no Gaussian and is not in these files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class ExportSceneOptions:
    """What is written.

    Attributes:
        scene_checkpoint: The scene.safetensors of a run.
        out: The file to write. Its suffix chooses the format.
        time: The time stamp at which moving objects are frozen.
        z_up: Keeps the axes of this project's worlds (z up) instead of those that viewers expect (y down, z ahead).
        clip: The drive whose cameras are written to cameras.json beside the file.
        camera: The camera of the drive. Without it the first one is taken.
    """

    scene_checkpoint: Path
    out: Path
    time: int = 0
    z_up: bool = False
    clip: Path | None = None
    camera: str = ""


def main(argv: list[str]) -> None:
    """Parses the options and writes the files."""
    options = parse_config(ExportSceneOptions, argv, description=__doc__)

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
    from faithfusion.utils.progress import say
    from faithfusion.utils.similarity import Similarity

    scene, _ = load_scene(options.scene_checkpoint)
    clip = read_drive(options.clip) if options.clip else None
    if options.time < 0 or (clip is not None and options.time >= clip.num_frames):
        raise InputError("--time", options.time, "a time stamp of the drive")
    require_writable(options.out.parent)
    axes = np.eye(3) if options.z_up else OPENCV2DATASET[:3, :3].T.copy()  # viewers: y down and z ahead, as in 3DGS
    move = Similarity(axes, np.zeros(3))
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
