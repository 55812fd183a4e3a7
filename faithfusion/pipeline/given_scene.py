"""Gaussians that the user has trained: they take the place of the fit, and the refined ones go back where they came
from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from faithfusion.data.images import load_image
from faithfusion.pipeline.drive import Drive
from faithfusion.render.render_view import render_view
from faithfusion.render.sky_estimate import sky_behind
from faithfusion.scene.graph import gaussians_at
from faithfusion.scene.move_gaussians import move_gaussians
from faithfusion.scene.scene_file import load_scene, save_scene
from faithfusion.scene.splat_files import FORMATS, SKY_HEIGHT, export_gaussians, import_gaussians
from faithfusion.types import Gaussians, GaussianScene
from faithfusion.utils.device import choose_device
from faithfusion.utils.image_math import psnr_of
from faithfusion.utils.progress import say
from faithfusion.utils.similarity import Similarity
from faithfusion.utils.stage_log import StageLog

SCENE_SUFFIX = ".safetensors"
REFINED = "refined"
"""The name, without its suffix, of the file that is written back."""
STRANGE_PSNR_DB = 15.0
"""Below it, the scene is hardly that of the drive, or lies in another world."""
NUM_LOOKS = 5
SEEN = (
    "The Gaussians were given, not fitted here. Where their training saw the frames that this run keeps back, those "
    "look better than new views do: held-out scores say nothing then, and EIG is too small."
)


def given_stage(
    log: StageLog, drive: Drive, gaussians: Path, path: Path, *, depends_on: Any = (), device: str = "auto"
) -> tuple[GaussianScene, Drive]:
    """Writes the scene of the file `gaussians`, whose world is that of the drive, to `path`, unless that was done.

    A .safetensors file is a scene of this project (`import_scene`, `reconstruct`); .ply, .compressed.ply, .spz and
    .splat files are Gaussians without a sky, which is estimated from the pictures. Returns the scene on `device` and
    the drive with its poses. Raises InputError for a file that cannot be read.
    """
    with gaussians.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()

    def work() -> None:
        scene, metadata = read_given(gaussians, drive)
        say(look_at(scene, drive, gaussians))
        kept = {name: metadata[name] for name in ("imported_from", "drive_from_file") if name in metadata}
        save_scene(path, scene, {"clip": drive.clip.name, "given": gaussians.name, **kept})

    log.run("scene", (depends_on, content), [path], work)
    scene, _ = load_scene(path, choose_device(device))
    return scene, drive.as_fitted(scene)


def check_given(path: Path) -> None:
    """Raises InputError for a file that `read_given` cannot read."""
    _read(path)


def _read(path: Path) -> tuple[GaussianScene | Gaussians, Mapping[str, Any]]:
    return load_scene(path) if path.suffix == SCENE_SUFFIX else (import_gaussians(path), {})


def read_given(path: Path, drive: Drive) -> tuple[GaussianScene, Mapping[str, Any]]:
    """The scene of a file, on the CPU, and what the file says beside it."""
    found, metadata = _read(path)
    if isinstance(found, GaussianScene):
        return found, metadata
    sky = sky_behind(found, drive.split.recorded, SKY_HEIGHT)
    return GaussianScene(found, torch.zeros(found.num, dtype=torch.int32), (), sky), metadata


@torch.no_grad()
def look_at(scene: GaussianScene, drive: Drive, path: Path) -> str:
    """A line that says how well the scene shows some recorded frames, with a warning if it does not."""
    frames = drive.split.recorded
    frames = [frames[round(index)] for index in np.linspace(0, len(frames) - 1, NUM_LOOKS)]
    errors = [
        (render_view(scene, frame.camera, frame.time_index).color.clamp(0.0, 1.0) - load_image(frame)).square().mean()
        for frame in frames
    ]
    psnr_db = psnr_of(torch.stack(errors))
    line = f"{path}: {scene.gaussians.num} Gaussians, {psnr_db:.2f} dB on {len(frames)} recorded frames"
    if psnr_db < STRANGE_PSNR_DB:
        line += "; warning: hardly a scene of this drive. Its world must be that of the drive (tools/import_scene.py)"
    return line


def write_back(path_of_given: Path, fitted: Path, scene: GaussianScene) -> Path | None:
    """Writes the refined Gaussians as `REFINED`, in the format and the world of the file that was given or imported,
    beside `fitted`, the file of `given_stage`; returns the path. None for a scene of this project.

    Moving objects stand where they are at the first time stamp, and the sky is not in such files.
    """
    _, metadata = load_scene(fitted)
    name = str(metadata.get("imported_from", path_of_given.name)).lower()
    suffix = next((suffix for suffix in FORMATS if name.endswith(suffix)), None)
    if suffix is None:
        return None
    gaussians = gaussians_at(scene, 0)
    if "drive_from_file" in metadata:
        gaussians = move_gaussians(gaussians, Similarity.from_plain(metadata["drive_from_file"]).inverse())
    path = fitted.with_name(REFINED + suffix)
    export_gaussians(path, gaussians)
    return path
