"""Files of an ablation: windows and edits between stages, claims of streets, settings that must stay the same."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faithfusion.config import config_hash
from faithfusion.evaluate.ablation_config import first_difference
from faithfusion.scene.checkpoint import load_tensors, save_tensors
from faithfusion.types import EigVolume, ViewPoses, WarpedViews, Window
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError
from faithfusion.video.editor import EditedClip

SETTINGS = "settings.json"
NESTED = {"eig": EigVolume, "poses": ViewPoses, "reference_poses": ViewPoses, "warped": WarpedViews}
NUM_CLIP_AXES = 4
"""Tensors of so many axes are colours or the like and are kept as float16, finer than a byte; others are exact."""


def save_window(path: Path, window: Window) -> None:
    """Colours as float16, everything else as it is."""
    tensors: dict[str, Tensor] = {}
    for part in dataclasses.fields(window):
        value = getattr(window, part.name)
        if part.name in NESTED and value is not None:
            tensors |= {f"{part.name}.{f.name}": getattr(value, f.name) for f in dataclasses.fields(value)}
        elif value is not None:
            tensors[part.name] = value
    save_tensors(path, {name: _small(value) for name, value in tensors.items()}, {})


def load_window(path: Path) -> Window:
    """Inverse of `save_window`. InputError if the file is missing or damaged."""
    tensors = {name: _exact(value) for name, value in load_tensors(path)[0].items()}
    values: dict[str, Any] = {name: value for name, value in tensors.items() if "." not in name}
    for name, kind in NESTED.items():
        parts = {key.partition(".")[2]: value for key, value in tensors.items() if key.startswith(f"{name}.")}
        if parts:
            values[name] = kind(**parts)
    return Window(**values)


def save_edit(path: Path, edited: EditedClip) -> None:
    """Colours as float16, the gain as it is."""
    save_tensors(path, {name: _small(value) for name, value in vars(edited).items()}, {})


def load_edit(path: Path) -> EditedClip:
    """Inverse of `save_edit`. InputError if the file is missing or damaged."""
    return EditedClip(**{name: _exact(value) for name, value in load_tensors(path)[0].items()})


def _small(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() and value.dim() >= NUM_CLIP_AXES else value


def _exact(value: Tensor) -> Tensor:
    return value.float() if value.dtype == torch.float16 else value


def write_json(path: Path, values: Any) -> None:
    """JSON, whole or not at all; numbers that are not finite become null."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(_plain(values), indent=1, sort_keys=True) + "\n")


def _plain(values: Any) -> Any:
    if isinstance(values, dict):
        return {str(key): _plain(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_plain(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def read_json(path: Path) -> Any:
    """InputError if the file is damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read ({error})", "a file of this ablation") from None


def require_same_settings(out: Path, settings: dict[str, Any]) -> str:
    """Writes the settings into a new folder and returns their hash. InputError if the folder holds other ones."""
    path = out / SETTINGS
    if not path.is_file():
        write_json(path, settings)
    kept = read_json(path)
    difference = first_difference(kept, _plain(settings))
    if difference:
        raise InputError(out, f"holds results of other settings ({difference})", "a new folder, or the same options")
    return config_hash(settings)


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """True inside for the one process that holds `path`; the system lets go of it when a process ends, however."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
