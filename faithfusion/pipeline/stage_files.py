"""Rendered and edited clips on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from faithfusion.clips.window_tensors import as_float, as_float16, window_from_tensors, window_tensors
from faithfusion.scene.scene_file import load_tensors, save_tensors
from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.composite import composite
from faithfusion.video.editing.editor import EditedClip

CLIP_FORMAT = "faithfusion-clip-2"
"""Stages that write clips depend on it, so that those of another version are made again."""
EXACT = ("expected_sq_error", "gain", "sq_error")
"""What squared errors are compared with; float16 has no small ones."""
MIN_CLIP_AXES = 3
READ_BY_EDITORS = ("reference", "warped")
"""How the names of those parts of a window begin that nobody asks for once the clip is edited: half of its bytes."""


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
    tensors = _small(window_tensors(clip.window))
    if clip.edited is not None:
        tensors = {name: value for name, value in tensors.items() if not name.startswith(READ_BY_EDITORS)}
        tensors["references"] = clip.window.references[:0]
        tensors |= {f"edited.{name}": value for name, value in edit_tensors(clip.edited).items() if name != "frames"}
    names = [camera.name for camera in clip.window.cameras]
    save_tensors(path, tensors, {"format": CLIP_FORMAT, "name": clip.name, "camera_names": names})


def load_stage_clip(path: Path) -> StageClip:
    """Inverse of `save_stage_clip`. InputError if the file is missing, damaged or of another version."""
    tensors, header = load_tensors(path)
    if header.get("format") != CLIP_FORMAT:
        raise InputError(path, f"a file of format {header.get('format')}", f"{CLIP_FORMAT}: run the command again")
    edit = {key.removeprefix("edited."): as_float(value) for key, value in tensors.items() if key.startswith("edited.")}
    window = window_from_tensors(tensors, header["camera_names"])
    if not edit:
        return StageClip(header["name"], window)
    frames = composite(window.render, edit["edit"], edit["gain"])
    return StageClip(header["name"], window, EditedClip(frames=frames, **edit))


def as_stored(window: Window) -> Window:
    """The window with the precision that its file has, so that an editor sees the same whether it was read or not."""
    return window_from_tensors(_small(window_tensors(window)), [camera.name for camera in window.cameras])


def kept_window(path: Path, key: str, work: Callable[[], Window]) -> Window:
    """The window that `work` renders, with the precision of its file; a run that is killed later finds it there."""
    with contextlib.suppress(InputError):  # missing, or of a version before: rendered anew
        stored = load_stage_clip(path)
        if stored.name == key:
            return stored.window
    window = as_stored(work())
    save_stage_clip(path, StageClip(key, window))
    return window


def edit_tensors(edited: EditedClip) -> dict[str, Tensor]:
    """The parts of an edited clip by name."""
    return _small(vars(edited))


def edit_from_tensors(tensors: Mapping[str, Tensor]) -> EditedClip:
    """Inverse of `edit_tensors`."""
    return EditedClip(**{name: as_float(value) for name, value in tensors.items()})


def _small(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Clips in float16, but for what must stay exact; poses as they are."""
    exact = {name for name, value in tensors.items() if name in EXACT or "poses" in name or value.dim() < MIN_CLIP_AXES}
    return {name: value if name in exact else as_float16(value) for name, value in tensors.items()}
