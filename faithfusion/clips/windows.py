"""Windows of 4k + 1 frames out of sequences of any length: overlap plan, cutting, padding by reflection.

A sequence is a `Window` of any length; video codecs take 4k + 1 frames in chunks {0}, {1..4}, {5..8}, ...
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from faithfusion.clips.clip_config import CHUNK_FRAMES
from faithfusion.types import EigVolume, WarpedViews, Window
from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class Span:
    """Frames start .. stop - 1 of a sequence."""

    start: int
    stop: int


def padded_length(num_frames: int, chunk_frames: int = CHUNK_FRAMES) -> int:
    """The smallest chunk_frames k + 1 that is at least `num_frames`."""
    return -(-(num_frames - 1) // chunk_frames) * chunk_frames + 1


def padded_side(side: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `side`."""
    return -(-side // multiple) * multiple


def plan_windows(num_frames: int, window_frames: int, overlap: int, chunk_frames: int = CHUNK_FRAMES) -> list[Span]:
    """Covers a sequence of 4k + 1 frames with windows that share at least `overlap` frames; the last ends with it.

    `window_frames` and `overlap` are 4k + 1, so overlaps are whole latent chunks of the later window. A sequence
    shorter than a window is one window. `chunk_frames` stands in place of 4 for a codec of other chunks. Raises
    InputError for other lengths.
    """
    for name, value in (("num_frames", num_frames), ("window_frames", window_frames), ("overlap", overlap)):
        if value < 1 or (value - 1) % chunk_frames:
            expected = f"{chunk_frames}k + 1 frames (1, {1 + chunk_frames}, {1 + 2 * chunk_frames}, ...)"
            raise InputError(f"windows: {name}", value, expected)
    if overlap >= window_frames:
        raise InputError("windows: overlap", overlap, f"fewer frames than a window's {window_frames}")
    if num_frames <= window_frames:
        return [Span(0, num_frames)]
    starts = [*range(0, num_frames - window_frames, window_frames - overlap), num_frames - window_frames]
    return [Span(start, start + window_frames) for start in starts]


def slice_window(sequence: Window, span: Span) -> Window:
    """The frames of `span`; references are kept."""
    return _index_frames(sequence, torch.arange(span.start, span.stop))


def training_spans(num_frames: int, window_frames: int, overlap: int) -> list[Span]:
    """Overlapping windows of a sequence. Training windows are never padded: frames beyond the last 4k + 1 are left
    out. Raises InputError if the sequence is shorter than one window."""
    if num_frames < window_frames:
        raise InputError("windows: sequence length", f"{num_frames} frames", f"at least one window of {window_frames}")
    usable = (num_frames - 1) // CHUNK_FRAMES * CHUNK_FRAMES + 1
    return plan_windows(usable, window_frames, overlap)


def nearest_references(window: Window, count: int) -> Window:
    """The window with the `count` references whose cameras come nearest to those of its frames; all if fewer."""
    poses, reference_poses = window.poses, window.reference_poses
    if poses is None or reference_poses is None or len(window.references) <= count:
        return window
    centres, places = (p.world_from_camera[:, :3, 3] for p in (reference_poses, poses))
    nearest = torch.cdist(centres.double(), places.double()).amin(1).argsort(stable=True)[:count].sort().values
    cameras = tuple(window.reference_cameras[index] for index in nearest)
    return dataclasses.replace(window, references=window.references[nearest], reference_cameras=cameras)


def pad_window(window: Window, side_multiple: int, chunk_frames: int = CHUNK_FRAMES) -> Window:
    """Pads to chunk_frames k + 1 frames and to sides that are multiples of `side_multiple`, by reflection. Cropping
    undoes it.

    Frames are added at the end, rows below, columns to the right. References are kept as they are.
    """
    frames, height, width = window.render.shape[:3]
    if frames != padded_length(frames, chunk_frames):
        window = _index_frames(window, reflected_indices(frames, padded_length(frames, chunk_frames)))
    rows = reflected_indices(height, padded_side(height, side_multiple))
    columns = reflected_indices(width, padded_side(width, side_multiple))
    if len(rows) == height and len(columns) == width:
        return window

    cameras = tuple(dataclasses.replace(c, width=len(columns), height=len(rows)) for c in window.cameras)
    return _each_volume(window, lambda values: values[:, rows][:, :, columns], cameras=cameras)


def reflected_indices(length: int, padded: int) -> Int[Tensor, " padded"]:
    """0, 1, ..., n - 1, n - 2, ..., 1, 0, 1, ...: reflection that also works for padding longer than the data."""
    period = max(2 * (length - 1), 1)
    phase = torch.arange(padded) % period
    return torch.minimum(phase, period - phase) if length > 1 else torch.zeros(padded, dtype=torch.long)


def _index_frames(window: Window, frames: Int[Tensor, " n"]) -> Window:
    parts = {name: getattr(window, name) for name in ("cameras", "time_indices")}
    parts = {name: tuple(values[index] for index in frames) if values else () for name, values in parts.items()}
    return _each_volume(window, lambda values: values[frames], known=window.known[frames], **parts)


def _each_volume(window: Window, change: Callable[[Tensor], Tensor], **others: object) -> Window:
    """The window with `change` applied to everything of it that has frames, rows and columns, and `others` as given."""
    eig = EigVolume(*(change(getattr(window.eig, field.name)) for field in dataclasses.fields(EigVolume)))
    truth = None if window.truth is None else change(window.truth)
    warped = window.warped
    if warped is not None:
        warped = WarpedViews(*(torch.stack(list(map(change, views))) for views in (warped.colors, warped.trust)))
    parts = {"render": change(window.render), "depth": change(window.depth)}
    return dataclasses.replace(window, eig=eig, truth=truth, warped=warped, **parts, **others)
