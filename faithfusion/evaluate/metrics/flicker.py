"""Flicker: how much a static point changes its colour between neighbouring frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.evaluate.metrics.followed_points import FollowedPoints
from faithfusion.evaluate.metrics.metric import Metric
from faithfusion.evaluate.metrics.scored_clip import ScoredClip
from faithfusion.render.reproject import sample_image


def warp_error(
    video: Float[Tensor, "t h w 3"], followed: Sequence[FollowedPoints], region: Bool[Tensor, "t h w"] | None = None
) -> float:
    """Returns the mean absolute difference between the colour of each pixel and that of the same world point in the
    next frame.

    `followed` says where the points of each frame lie in the next one (`follow_clip`). Points that leave the image or
    are hidden in the next frame do not count. `region` holds the pixels of the earlier frame that count. The result is
    NaN if no pixel is left.
    """
    differences = []
    for t, (uv, is_seen) in enumerate(followed):
        visible = is_seen if region is None else is_seen & region[t]
        change = (sample_image(video[t + 1], uv) - video[t]).abs().mean(-1)
        differences.append(change[visible])
    return float(torch.cat(differences).mean()) if differences else float("nan")


def flicker(clip: ScoredClip) -> float:
    """Returns the warp error of the clip itself. What is blurred flickers less than the truth does."""
    return warp_error(clip.video, clip.target.followed, clip.target.static)


def artefact_flicker(clip: ScoredClip) -> float:
    """Returns the warp error of the clip's difference from the truth."""
    return warp_error(clip.video - clip.truth, clip.target.followed, clip.target.static)


FLICKER = Metric(
    of=flicker,
    needs=(),
    label="Warp error",
    better="lower",
    decimals=4,
    meaning="colour change of static points between neighbouring frames, colours from 0 to 1",
)
ARTEFACT_FLICKER = Metric(
    of=artefact_flicker,
    label="Warp error of the artefacts",
    better="lower",
    decimals=4,
    meaning="of the difference from the truth",
    in_report=False,  # along estimated depth it says little
    is_compared=True,
)
