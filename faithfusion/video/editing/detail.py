"""Takes the fine detail that a codec loses back from the pictures that the generator was shown.

A generator in latents decides what is to be seen; its decoder draws it without the finest detail. Where the edit looks
like the coded version of a source (the render, a warped recorded view), that source has the detail:

    result = edit + gate sum_i p_i (source_i - coded_i) ,   p = softmax(-d / DETAIL_SOFTNESS)

d_i is the local mean of |edit - coded_i|; the gate, 1 - (min d / NO_DETAIL)^2, closes where the edit looks like none of
them: content that nobody saw gets no detail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from faithfusion.types import Window
from faithfusion.video.editing.encode import to_frames
from faithfusion.video.model.conditioning import LatentConditions, split_warped
from faithfusion.video.model.generator import Generator

NO_DETAIL = 0.06
DETAIL_SOFTNESS = 0.015
"""Both are mean absolute colour differences, colours in [0, 1]."""
NEIGHBOURHOOD = 5
"""Pixels a side over which an edit is compared with a source."""


@dataclass(frozen=True)
class DetailSource:
    """A clip that the generator was shown, the same after encoding and decoding, and where it shows anything."""

    frames: Float[Tensor, "t h w 3"]
    coded: Float[Tensor, "t h w 3"]
    shown: Float[Tensor, "t h w"]  # 0 or 1


def detail_sources(generator: Generator, window: Window, conditions: LatentConditions) -> list[DetailSource]:
    """The render, and the warped views that the branch reads."""
    everywhere = torch.ones_like(window.render[..., 0])
    clips = [(window.render, conditions.render_latent, everywhere)]
    count = generator.config.branch.warped
    if count:
        latents, _ = split_warped(conditions.warped, count)
        for number in range(count):
            shown = (window.warped.trust[number] > 0.0).to(everywhere)
            clips.append((window.warped.colors[number], latents[:, number], shown))
    return [
        DetailSource(frames, to_frames(generator.codec.decode(latent))[0].to(frames), shown)
        for frames, latent, shown in clips
    ]


def with_detail(edit: Float[Tensor, "t h w 3"], sources: Sequence[DetailSource]) -> Float[Tensor, "t h w 3"]:
    """The edit with the detail of the sources that it agrees with."""
    differences = [local_mean((edit - source.coded).abs().mean(-1)) for source in sources]
    away = torch.stack([torch.where(s.shown > 0.0, d, torch.inf) for d, s in zip(differences, sources, strict=True)])
    nearest = away.amin(0)
    gate = (1.0 - (nearest / NO_DETAIL).square()).clamp_min(0.0)
    shares = gate * (-(away - nearest.clamp_max(1.0)) / DETAIL_SOFTNESS).softmax(dim=0)
    for share, source in zip(shares, sources, strict=True):
        edit = edit + share[..., None] * (source.frames - source.coded)
    return edit


def local_mean(values: Float[Tensor, "t h w"]) -> Float[Tensor, "t h w"]:
    """Mean over a square of `NEIGHBOURHOOD` pixels a side, its part inside the picture."""
    pad = NEIGHBOURHOOD // 2
    return F.avg_pool2d(values[:, None], NEIGHBOURHOOD, stride=1, padding=pad, count_include_pad=False)[:, 0]
