"""Measures the error profiles of editors that work one after another, each on what it really gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from faithfusion.clips.store import ShardFolder
from faithfusion.training.callbacks.validation import evenly_spaced
from faithfusion.training.data import WindowRef
from faithfusion.training.measure_config import MeasureConfig
from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say, track
from faithfusion.video.editing.chain import edited_window
from faithfusion.video.editing.composite import MeasuredErrors, measure_profile, measured_errors
from faithfusion.video.editing.editor import EditedClip, Editor
from faithfusion.video.editing.editor_config import DEFAULT_COMPOSITE
from faithfusion.video.editors.registry import open_editors
from faithfusion.video.weights.profiles import store_profile


def measure_editors(config: MeasureConfig, device: str) -> list[Path]:
    """Writes into the weights file of each editor but the first the profile behind those before it, and returns these
    files.

    What is measured is the content of the editor as the run averages it (`steady`). Every editor is measured on what
    the profiles leave that were measured before its own. Raises InputError for pairs without truth and for an editor
    without a weights file of its own.
    """
    shards = ShardFolder(Path(config.pairs)).shards
    refs = evenly_spaced([WindowRef(shard, i) for shard in shards for i in range(len(shard))], config.num_windows)
    files = _files(config, device)
    written = []
    for place in range(1, len(files)):
        opened = open_editors(config.editors[: place + 1], device)
        *before, editor = opened.each(DEFAULT_COMPOSITE)
        name = config.editors[place]["kind"]
        clips, left = [], []
        for ref in track(refs, f"errors of {name}"):
            window = _after(before, ref.read_pair())
            edited = _edit(editor, window)
            seen = window.eig.expected_sq_error
            clips.append(measured_errors(seen, window.render, edited.edit, window.truth))
            left.append(measured_errors(edited.sq_error, edited.frames, edited.frames, window.truth))
        profile = measure_profile(clips)
        store_profile(files[place], profile, [part.weights_key for part in opened.parts[:place]])
        written.append(files[place])
        say(f"{name}: expected over true error of its finished frames was {_ratio(left):.2f}; wrote {files[place]}")
    return written


def _files(config: MeasureConfig, device: str) -> list[Path]:
    opened = [getattr(part, "opened", None) for part in open_editors(config.editors, device).parts]
    files = [getattr(part, "file", None) for part in opened]
    for entry, file in list(zip(config.editors, files, strict=True))[1:]:
        if file is None:
            raise InputError("editors", f"{entry['kind']} without a weights file", "one that can keep its error")
    return files


def _after(before: Sequence[Editor], window: Window) -> Window:
    for editor in before:
        window = edited_window(window, _edit(editor, window))
    return window


@torch.no_grad()
def _edit(editor: Editor, window: Window) -> EditedClip:
    return editor.edit(window)


def _ratio(clips: Sequence[MeasuredErrors]) -> float:
    expected, true = (
        sum(float(getattr(clip, name).sum()) for clip in clips) for name in ("expected_sq_error", "render_sq_error")
    )
    return expected / true
