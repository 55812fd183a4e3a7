"""A picture at another size, and which points of the world something nearer hides."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.data.lidar import project_points
from faithfusion.types import Camera

MARGIN_M = 0.3


def image_at_size(image: Float[Tensor, "h w 3"], width: int, height: int) -> Float[Tensor, "height width 3"]:
    """Returns the picture stretched to another size, bilinear without a blur before, as OpenCV resizes by default."""
    if image.shape[:2] == (height, width):
        return image
    planes = image.movedim(-1, 0)[None]
    return F.interpolate(planes, (height, width), mode="bilinear", align_corners=False)[0].movedim(0, -1)


def hidden_points(
    points_world: Float[Tensor, "n 3"], camera: Camera, depth_m: Float[Tensor, "h w"], *, margin_share: float
) -> Bool[Tensor, " n"]:
    """Returns which points lie behind the depth map of the camera's picture, by more than 0.3 m and `margin_share`
    of its distance.

    The farthest depth of the 3 x 3 pixels around a point counts, so that neither the slope of the ground nor an edge
    that is off by a pixel hides anything. Depth 0 is sky. Points outside the picture are not hidden.
    """
    uv, z, inside = project_points(points_world, camera.resized(depth_m.shape[1], depth_m.shape[0]))
    far = torch.where(depth_m > 0, depth_m, torch.inf)
    farthest = F.max_pool2d(far[None, None], 3, stride=1, padding=1)[0, 0]
    hidden = torch.zeros_like(inside)
    column, row = uv[inside].long().unbind(-1)
    hidden[inside] = farthest[row, column] < z[inside] * (1 - margin_share) - MARGIN_M
    return hidden
