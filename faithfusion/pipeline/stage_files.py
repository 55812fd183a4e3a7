"""Rendered and edited clips on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faithfusion.clips.store import FLOAT16_MAX
from faithfusion.scene.scene_file import load_tensors, save_tensors
from faithfusion.types import EigVolume, ViewPoses, WarpedViews, Window
from faithfusion.video.editing.composite import composite
from faithfusion.video.editing.editor import EditedClip

NESTED = {"eig": EigVolume, "poses": ViewPoses, "reference_poses": ViewPoses, "warped": WarpedViews}
EXACT = ("eig.expected_sq_error", "gain", "sq_error")
"""What squared errors are compared with; float16 has no small ones."""
MIN_CLIP_AXES = 3


READ_BY_EDITORS = ("references", "reference_poses", "warped")
"""Parts of a window that nobody asks for once the clip is edited: half of its bytes."""


@dataclass(frozen=True)
class StageClip:
    """What was rendered on the path called `name`, with its EIG, and what the editor made of it, if it was asked."""

    name: str
    window: Window
    edited: EditedClip | None = None


def save_stage_clip(path: Path, clip: StageClip) -> None:
    """Everything of [T, H, W] and more in float16, but expected error and gain; poses as they are.

    Of an edited clip neither what only editors read is kept, nor the finished frames, which `EditedClip` defines by
    the rest.
    """
    tensors = window_tensors(clip.window)
    if clip.edited is not None:
        tensors = {name: value for name, value in tensors.items() if name.partition(".")[0] not in READ_BY_EDITORS}
        tensors["references"] = clip.window.references[:0]
        tensors |= {f"edited.{name}": value for name, value in edit_tensors(clip.edited).items() if name != "frames"}
    save_tensors(path, tensors, {"name": clip.name})


def load_stage_clip(path: Path) -> StageClip:
    """Inverse of `save_stage_clip`. InputError if the file is missing or damaged."""
    tensors, header = load_tensors(path)
    edit = {key.removeprefix("edited."): value for key, value in tensors.items() if key.startswith("edited.")}
    window = window_from_tensors({key: value for key, value in tensors.items() if not key.startswith("edited.")})
    if not edit:
        return StageClip(header["name"], window)
    values = {name: _full(value) for name, value in edit.items()}
    frames = composite(window.render, values["edit"], values["gain"])
    return StageClip(header["name"], window, EditedClip(frames=frames, **values))


def as_stored(window: Window) -> Window:
    """The window with the precision that its file has, so that an editor sees the same whether it was read or not."""
    return window_from_tensors(window_tensors(window))


def window_tensors(window: Window) -> dict[str, Tensor]:
    """The parts of a window by name, "eig.alpha" and so on for nested ones; without what is None."""
    tensors: dict[str, Tensor] = {}
    for part in dataclasses.fields(window):
        value = getattr(window, part.name)
        if part.name in NESTED and value is not None:
            tensors |= {f"{part.name}.{f.name}": getattr(value, f.name) for f in dataclasses.fields(value)}
        elif value is not None:
            tensors[part.name] = value
    return {name: _small(name, value) for name, value in tensors.items()}


def window_from_tensors(tensors: Mapping[str, Tensor]) -> Window:
    """Inverse of `window_tensors`."""
    values: dict[str, Any] = {name: _full(value) for name, value in tensors.items() if "." not in name}
    for name, kind in NESTED.items():
        parts = {key.partition(".")[2]: _full(value) for key, value in tensors.items() if key.startswith(f"{name}.")}
        if parts:
            values[name] = kind(**parts)
    return Window(**values)


def edit_tensors(edited: EditedClip) -> dict[str, Tensor]:
    """The parts of an edited clip by name."""
    return {name: _small(name, value) for name, value in vars(edited).items()}


def edit_from_tensors(tensors: Mapping[str, Tensor]) -> EditedClip:
    """Inverse of `edit_tensors`."""
    return EditedClip(**{name: _full(value) for name, value in tensors.items()})


def _small(name: str, value: Tensor) -> Tensor:
    if name in EXACT or not value.is_floating_point() or value.dim() < MIN_CLIP_AXES or "poses" in name:
        return value
    return value.clamp(-FLOAT16_MAX, FLOAT16_MAX).half()


def _full(value: Tensor) -> Tensor:
    return value.float() if value.dtype == torch.float16 else value
