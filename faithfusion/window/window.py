"""A clip of a scene from new poses, as the editor takes it: render, EIG and true views nearby."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from faithfusion.clips.windows import Span
from faithfusion.data.trajectories import distance_from_path_m
from faithfusion.eig.field import EigField
from faithfusion.types import Camera, DriveClip, Window
from faithfusion.window.references import choose_references, load_references
from faithfusion.window.warp import WarpSource, warped_views

FRAMES_PER_REFERENCE = 8
MIN_REFERENCES = 3


def rendered_window(known: EigField, clip: DriveClip, cameras: Sequence[Camera], times: Sequence[int]) -> Window:
    """Render and EIG volume from new poses of one image size, one per time stamp; without references and truth."""
    distances_m = [distance_from_path_m(clip, camera) for camera in cameras]
    eig, renders, depths = known.volume(cameras, times, distances_m)
    unknown = torch.zeros(len(times)).bool()
    return Window(renders, eig, depths, renders[:0], unknown, tuple(cameras), tuple(times))


def window_of(
    known: EigField,
    clip: DriveClip,
    cameras: Sequence[Camera],
    recorded: WarpSource,
    times: Sequence[int] | None = None,
) -> Window:
    """`rendered_window` at every time stamp, or at `times`, with what recorded frames of any camera show: those that
    see most of the clip as references, and the best for every pixel, warped."""
    times = range(clip.num_frames) if times is None else times
    window = rendered_window(known, clip, cameras, times)
    count = max(MIN_REFERENCES, len(times) // FRAMES_PER_REFERENCE)
    chosen = sorted(set(choose_references(window, Span(0, len(times)), recorded.frames, count)))
    frames = [recorded.frames[index] for index in chosen]
    references, reference_cameras = load_references(frames, 1, window.render.shape[1:3])
    warped = warped_views(recorded, window)
    return dataclasses.replace(window, references=references, reference_cameras=reference_cameras, warped=warped)
