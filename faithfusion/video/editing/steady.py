"""Reduces flicker: what shows the same surface in neighbouring frames is averaged.

Noise of the sampler and what a single-image fixer decides anew in every frame differ from frame to frame, the scene
does not. Every pixel's surface point is looked up in the frames around, by the render's depth and the cameras' motion:

    result_t = sum_s w_s edit_s(point) / sum_s w_s ,   w_t = 1 ,   w_s = visible_s exp(-(d_s / AGREEMENT)^2)

d_s is the local mean of |edit_s - edit_t|: what moves, or lies at another depth than rendered, does not agree and
stays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.render.reproject import FAR_M, sight, world_points
from faithfusion.types import Window
from faithfusion.video.editing.composite import composite
from faithfusion.video.editing.detail import local_mean
from faithfusion.video.editing.editor import EditedClip, Editor

AGREEMENT = 0.06
"""Mean absolute colour difference, colours in [0, 1]."""


class SteadyEditor:
    """An editor whose content is averaged over `num_neighbours` frames before and after; the gain stays."""

    def __init__(self, editor: Editor, num_neighbours: int) -> None:
        self.editor, self.num_neighbours = editor, num_neighbours

    def edit(self, window: Window) -> EditedClip:
        """See `Editor.edit`."""
        edited = self.editor.edit(window)
        edit = steadied(edited.edit, window, self.num_neighbours)
        return dataclasses.replace(edited, edit=edit, frames=composite(window.render, edit, edited.gain))


def steadied(edit: Float[Tensor, "t h w 3"], window: Window, num_neighbours: int) -> Float[Tensor, "t h w 3"]:
    """The mean over the frames around, in [0, 1]; known frames, and windows without cameras, as they are."""
    if not window.cameras or num_neighbours == 0:
        return edit
    frames = []
    for t, frame in enumerate(edit):
        if window.known[t]:
            frames.append(frame)
            continue
        total, weights = frame.clone(), torch.ones_like(frame[..., :1])
        for color, is_visible in _neighbours(edit, window, t, num_neighbours):
            away = local_mean((color - frame).abs().mean(-1)[None])[0]
            weight = (is_visible * torch.exp(-(away / AGREEMENT).square()))[..., None]
            total, weights = total + weight * color, weights + weight
        frames.append(total / weights)
    return torch.stack(frames).clamp(0.0, 1.0)


def _neighbours(edit: Tensor, window: Window, t: int, reach: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields, for each frame around t, its colours at the points that frame t shows, and where it shows them."""
    points = world_points(window.depth[t], window.cameras[t])
    for s in range(max(0, t - reach), min(len(edit), t + reach + 1)):
        if s != t:
            sighting = sight(points, window.cameras[s])
            depth_m = torch.where(window.depth[s] > 0.0, window.depth[s], FAR_M)
            yield sighting.sample(edit[s], "bicubic"), sighting.is_shown(depth_m)
