"""Flicker: how much a static point changes its colour between neighbouring frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.evaluate.metrics.metric import Metric
from faithfusion.evaluate.metrics.scored_clip import ScoredClip
from faithfusion.render.reproject import sample_image, sight, world_points
from faithfusion.types import Camera


def warp_error(
    video: Float[Tensor, "t h w 3"],
    depths: Float[Tensor, "t h w"],
    cameras: Sequence[Camera],
    region: Bool[Tensor, "t h w"] | None = None,
) -> float:
    """Returns the mean absolute difference between the colour of each pixel and that of the same world point in the
    next frame.

    Points are followed by depth (camera z in metres, 0 for none) and the motion of the camera, so they are taken as
    static. Points that leave the image or are hidden in the next frame do not count. `region` holds the pixels of the
    earlier frame that count. The result is NaN if no pixel is left.
    """
    differences = []
    for t in range(len(cameras) - 1):
        uv, visible = follow_points(depths[t], depths[t + 1], cameras[t], cameras[t + 1])
        if region is not None:
            visible = visible & region[t]
        change = (sample_image(video[t + 1], uv) - video[t]).abs().mean(-1)
        differences.append(change[visible])
    return float(torch.cat(differences).mean()) if differences else float("nan")


def follow_points(
    depth: Float[Tensor, "h w"], next_depth: Float[Tensor, "h w"], camera: Camera, next_camera: Camera
) -> tuple[Float[Tensor, "h w 2"], Bool[Tensor, "h w"]]:
    """Returns where the world point behind each pixel lies in the next frame, in pixels, and whether it is
    seen there."""
    sighting = sight(world_points(depth, camera), next_camera)
    return sighting.uv, sighting.is_shown(next_depth) & (depth > 0)


def flicker(clip: ScoredClip) -> float:
    """Returns the warp error of the clip itself. What is blurred flickers less than the truth does."""
    at = clip.target
    return warp_error(clip.video, at.depth_m, at.cameras, at.static)


def artefact_flicker(clip: ScoredClip) -> float:
    """Returns the warp error of the clip's difference from the truth."""
    at = clip.target
    return warp_error(clip.video - clip.truth, at.depth_m, at.cameras, at.static)


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
