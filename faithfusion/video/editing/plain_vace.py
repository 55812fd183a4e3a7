"""Plain inpainting by VACE as an editor: a binary mask, no EIG. What a user would pick instead, to compare with.

A pixel is painted anew where the render shows a surface that no recorded view has seen; everywhere else it stays. The
model gets the render with the rest in grey, as VACE's own inpainting does (Jiang et al. 2025), and a text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from faithfusion.clips.windows import pad_window, plan_windows
from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.utils.media import to_uint8
from faithfusion.utils.seed import make_generator
from faithfusion.video.editing.editor import EditedClip

Pictures = list[Image.Image]
Paint = Callable[[Pictures, Pictures, int], Float[Tensor, "t h w 3"]]
"""Takes pictures, masks (white: to be painted) and a seed, and returns the whole clip in [0, 1]."""
SIDE_PX = 16
"""Sides that Wan2.1 takes are multiples of this: a codec of 8 x 8 pixels and patches of 2 x 2."""
GREY = 0.5
SEEN_TRUST = 0.5
SOLID_ALPHA = 0.5
SQ_ERROR = 0.01
"""The expected squared error of every frame: nobody has measured another one (20 dB)."""


@dataclass(frozen=True)
class PlainVaceEditor:
    """Paints windows of a clip one after another; the frames that two of them share enter the later one as they are."""

    paint: Paint
    window_frames: int
    overlap_frames: int
    seed: int = 0

    def edit(self, window: Window) -> EditedClip:
        """See `Editor.edit`. `gain` is the mask."""
        frames, height, width = window.render.shape[:3]
        padded = pad_window(window, SIDE_PX)
        mask, result, done = unseen_pixels(padded), padded.render.clone(), 0
        for span in plan_windows(len(result), self.window_frames, self.overlap_frames):
            painted = mask[span.start : span.stop].clone()
            painted[: done - span.start] = False
            drawn = random_seed(self.seed, span.start)
            new = self.paint(*_given(result[span.start : span.stop], painted), drawn).to(result)
            kept = result[span.start : span.stop]
            result[span.start : span.stop] = torch.where(painted[..., None], new, kept)
            done = span.stop
        result = result[:frames, :height, :width].contiguous()
        gain = mask[:frames, :height, :width].to(result)
        return EditedClip(result, result, gain, torch.full_like(gain, SQ_ERROR))


def unseen_pixels(window: Window) -> Bool[Tensor, "t h w"]:
    """Returns where the render shows a surface that no recorded view has seen; nowhere in the sky. Raises InputError
    for a window without recorded views."""
    if window.warped is None:
        raise InputError("editors, vace", "a clip without recorded views", "warp.num_views of at least 1")
    is_seen = (window.warped.trust >= SEEN_TRUST).any(0)
    return (window.eig.alpha >= SOLID_ALPHA) & ~is_seen & ~window.known[:, None, None]


def random_seed(seed: int, start: int) -> int:
    """Returns the seed of the window that begins with frame `start`."""
    return int(torch.randint(2**31, (1,), generator=make_generator(seed, "vace", start)))


def _given(render: Float[Tensor, "t h w 3"], mask: Bool[Tensor, "t h w"]) -> tuple[Pictures, Pictures]:
    """Pictures with grey where something is to be painted, and the masks in white."""
    shown = torch.where(mask[..., None], GREY, render)
    whites = mask[..., None].expand(*mask.shape, 3).float()
    return _pictures(shown), _pictures(whites)


def _pictures(clip: Float[Tensor, "t h w 3"]) -> Pictures:
    return [Image.fromarray(frame) for frame in to_uint8(clip)]


def clip_of(pictures: Sequence[Image.Image] | np.ndarray) -> Float[Tensor, "t h w 3"]:
    """Returns a pipeline's pictures as a clip in [0, 1]."""
    frames = np.stack([np.asarray(picture, dtype=np.float32) for picture in pictures])
    return torch.from_numpy(frames / (255.0 if isinstance(pictures[0], Image.Image) else 1.0))


@dataclass(frozen=True)
class Sampling:
    """How a pipeline samples: texts, steps and guidance."""

    prompt: str
    negative_prompt: str
    steps: int
    guidance: float


def paint_with_diffusers(pipeline: Any, sampling: Sampling) -> Paint:
    """Returns diffusers' `WanVACEPipeline` as what paints."""

    def paint(pictures: Pictures, masks: Pictures, seed: int) -> Float[Tensor, "t h w 3"]:
        width, height = pictures[0].size
        made = pipeline(
            prompt=sampling.prompt,
            negative_prompt=sampling.negative_prompt,
            video=pictures,
            mask=masks,
            height=height,
            width=width,
            num_frames=len(pictures),
            num_inference_steps=sampling.steps,
            guidance_scale=sampling.guidance,
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        )
        return clip_of(made.frames[0])

    return paint


def paint_with_diffsynth(pipeline: Any, sampling: Sampling) -> Paint:
    """Returns DiffSynth's `WanVideoPipeline` with the parts of VACE as what paints."""

    def paint(pictures: Pictures, masks: Pictures, seed: int) -> Float[Tensor, "t h w 3"]:
        width, height = pictures[0].size
        made = pipeline(
            prompt=sampling.prompt,
            negative_prompt=sampling.negative_prompt,
            vace_video=pictures,
            vace_video_mask=masks,
            height=height,
            width=width,
            num_frames=len(pictures),
            num_inference_steps=sampling.steps,
            cfg_scale=sampling.guidance,
            seed=seed,
            tiled=False,
            progress_bar_cmd=iter,
        )
        return clip_of(made)

    return paint
