"""Static points of a clip, followed from each frame to the next by depth and the motion of the camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.render.reproject import sight, world_points
from faithfusion.types import Camera


class FollowedPoints(NamedTuple):
    """Where the world point behind each pixel lies in the next frame, in pixels, and whether it is seen there."""

    uv: Float[Tensor, "h w 2"]
    is_seen: Bool[Tensor, "h w"]


def follow_points(
    depth: Float[Tensor, "h w"], next_depth: Float[Tensor, "h w"], camera: Camera, next_camera: Camera
) -> FollowedPoints:
    """Follows the points of one frame into the next. Depths are camera z in metres, 0 for none."""
    sighting = sight(world_points(depth, camera), next_camera)
    return FollowedPoints(sighting.uv, sighting.is_shown(next_depth) & (depth > 0))


def follow_clip(depths: Float[Tensor, "t h w"], cameras: Sequence[Camera]) -> list[FollowedPoints]:
    """Follows the points of all frames but the last into the next one."""
    steps = range(len(cameras) - 1)
    return [follow_points(depths[t], depths[t + 1], cameras[t], cameras[t + 1]) for t in steps]
