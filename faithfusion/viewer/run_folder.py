"""Finds what can be looked at: the scenes of a run's folder or of one file, and the drive they belong to."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.split_config import SplitConfig
from faithfusion.eig.assess import fitted_clip
from faithfusion.eig.config import EigConfig
from faithfusion.scene.fitted_poses import clip_as_fitted
from faithfusion.scene.scene_file import load_scene, scene_to
from faithfusion.scene.splat_files import import_gaussians
from faithfusion.types import DriveClip, GaussianScene, Sky
from faithfusion.utils.errors import InputError

PLY_SKY = 0.5
"""Grey of the sky behind the Gaussians of a PLY file, which has no sky."""


@dataclass(frozen=True)
class Version:
    """One state of the scene, the part of the drive it was fitted to, and what was stored beside it."""

    scene: GaussianScene
    fitted: DriveClip
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """Everything the viewer shows. `versions`: "before" and "after" of a refinement, or "scene"."""

    name: str
    clip: DriveClip
    versions: dict[str, Version]
    camera_name: str
    eig: EigConfig
    split: SplitConfig


def open_run(
    path: Path, *, clip_root: Path | None = None, device: torch.device | str = "cpu", posterior: str | None = None
) -> Run:
    """Reads a folder of tools/refine_sequence.py or tools/reconstruct.py, a scene.safetensors or a file of Gaussians.

    The drive is `clip_root`, or the one the folder's config.yaml names, or its drive/. `posterior`: "block" or "diag"
    instead of what the run used. Raises InputError if there is no scene, or no drive to look at it from.
    """
    path = Path(path)
    config = _read_config(path / "config.yaml") if path.is_dir() else {}
    files = scene_files(path)
    root = clip_root or _drive_of(path, config)
    clip = read_drive(root, num_frames=config.get("num_frames") or None)
    versions = {name: _open_version(file, clip, device) for name, file in files.items()}
    clip = clip_as_fitted(clip, next(iter(versions.values())).scene)
    camera_name = config.get("camera") or (config.get("cameras") or [""])[0]
    if camera_name not in clip.camera_names:
        camera_name = clip.camera_names[0]
    eig = _known_options(EigConfig, config.get("eig"))
    if posterior is not None:
        eig = dataclasses.replace(eig, posterior=posterior)
    return Run(path.resolve().name, clip, versions, camera_name, eig, _known_options(SplitConfig, config.get("split")))


def scene_files(path: Path) -> dict[str, Path]:
    """Which scenes there are, by the name they are shown under. Raises InputError if there is none."""
    if path.is_file():
        return {"scene": path}
    if not path.is_dir():
        raise InputError(path, "no such folder or file", "the folder of a run, a scene.safetensors or a PLY file")
    stages = sorted(path.glob("scene_stage_*.safetensors"), key=_stage_number)
    finished = path / "scene.safetensors"
    if finished.is_file() and (path / "scene_calibrated.safetensors").is_file():
        stages = [finished]
    if stages:
        before = [path / f"scene_{name}.safetensors" for name in ("calibrated", "fitted")]
        known = [file for file in before if file.is_file()]
        return ({"before": known[0]} if known else {}) | {"after": stages[-1]}
    for name in ("scene.safetensors", "scene_calibrated.safetensors", "scene_fitted.safetensors", "scene.ply"):
        if (path / name).is_file():
            return {"scene": path / name}
    raise InputError(path, "no scene", "scene.safetensors, as tools/refine_sequence.py and tools/reconstruct.py write")


def _stage_number(path: Path) -> int:
    digits = re.search(r"(\d+)$", path.stem)
    return int(digits[1]) if digits else -1


def _open_version(path: Path, clip: DriveClip, device: torch.device | str) -> Version:
    if path.suffix.lower() != ".safetensors":
        gaussians = import_gaussians(path)
        sky = Sky(torch.full((16, 32, 3), PLY_SKY))
        scene, metadata = GaussianScene(gaussians, torch.zeros(gaussians.num, dtype=torch.int64), (), sky), {}
    else:
        scene, metadata = load_scene(path)
    try:
        fitted = fitted_clip(clip, metadata)
    except KeyError:  # written before a scene said on which part of the drive it was fitted
        fitted = clip
    return Version(scene_to(scene, device), clip_as_fitted(fitted, scene), metadata)


def _read_config(path: Path) -> dict[str, Any]:
    """The options of the run as plain data: a run of an older version must open, too."""
    if not path.is_file():
        return {}
    try:
        config = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(path, " ".join(str(error).split()), "YAML") from None
    return config if isinstance(config, dict) else {}


def _drive_of(path: Path, config: dict[str, Any]) -> Path:
    """The drive a run's folder names. A relative path is meant from where the run was started."""
    candidates = [path / "drive"]
    if config.get("scene"):
        scene, out = Path(config["scene"]), Path(config.get("out", ""))
        candidates = [scene]
        if not out.is_absolute() and len(path.resolve().parents) >= len(out.parts) > 0:
            candidates.append(path.resolve().parents[len(out.parts) - 1] / scene)
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise InputError(path, "the drive it was fitted to is not known or not there", "--clip DRIVE")


def _known_options(config_class: type, options: Any) -> Any:
    """The dataclass with those of its fields that a run wrote down."""
    names = {field.name for field in dataclasses.fields(config_class)}
    return config_class(**{name: value for name, value in (options or {}).items() if name in names})
