"""The sky as an equirectangular texture at infinity.

Texel (row i, column j) has its centre at polar angle (i + 0.5) * pi / hs from the zenith and at azimuth
(j + 0.5) * 2 pi / ws from +x towards +y: the left edge of column 0 is +x, the upper edge of row 0 is the zenith.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from faithfusion.types import Camera, Sky


def ray_directions(camera: Camera) -> Float[Tensor, "h w 3"]:
    """Unit directions in the world through the pixel centres (+0.5)."""
    return torch.stack(_rays(camera), dim=-1)


def _rays(camera: Camera) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """x, y and z of the same directions, as planes: far faster on a CPU than rows of three."""
    fx, fy = camera.intrinsics[0, 0], camera.intrinsics[1, 1]
    cx, cy = camera.intrinsics[0, 2], camera.intrinsics[1, 2]
    like = {"dtype": camera.intrinsics.dtype, "device": camera.intrinsics.device}
    x = (torch.arange(camera.width, **like) + 0.5 - cx) / fx
    y = (torch.arange(camera.height, **like) + 0.5 - cy) / fy
    scale = (x.square() + (y.square() + 1.0)[:, None]).rsqrt()
    across, down, forward = camera.world_from_camera[:3, :3].unbind(1)
    x, y, z = ((across[i] * x + (down[i] * y + forward[i])[:, None]) * scale for i in range(3))
    return x, y, z


def sky_coordinates(directions: Float[Tensor, "*n 3"], height: int, width: int) -> Float[Tensor, "*n 2"]:
    """Texture coordinates (column, row) in texels of world directions, texel centres at +0.5, columns in [0, width)."""
    return torch.stack(_coordinates(*F.normalize(directions, dim=-1).unbind(-1), height, width), dim=-1)


def _coordinates(
    x: Float[Tensor, "*n"], y: Float[Tensor, "*n"], z: Float[Tensor, "*n"], height: int, width: int
) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"]]:
    """Column and row of a unit direction."""
    azimuth = torch.atan2(y, x) % (2.0 * math.pi)
    polar = torch.acos(z.clamp(-1.0, 1.0))
    return azimuth * (width / (2.0 * math.pi)), polar * (height / math.pi)


def sample_sky(sky: Sky, directions: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w 3"]:
    """Bilinear colour of the sky in world directions, wrapping around in azimuth; differentiable in the texture."""
    return _sample(sky, *F.normalize(directions, dim=-1).unbind(-1))


def sky_background(sky: Sky, camera: Camera) -> Float[Tensor, "h w 3"]:
    """Colour of the sky at every pixel of `camera`; differentiable in the texture."""
    return _sample(sky, *_rays(camera))


def _sample(
    sky: Sky, x: Float[Tensor, "h w"], y: Float[Tensor, "h w"], z: Float[Tensor, "h w"]
) -> Float[Tensor, "h w 3"]:
    height, width = sky.texture.shape[:2]
    column, row = _coordinates(x, y, z, height, width)
    wrapped = torch.cat([sky.texture[:, -1:], sky.texture, sky.texture[:, :1]], dim=1)
    grid = torch.stack([(column + 1.0) * (2.0 / (width + 2)) - 1.0, row * (2.0 / height) - 1.0], dim=-1)
    image = wrapped.permute(2, 0, 1)[None]
    colors = F.grid_sample(image, grid[None], mode="bilinear", padding_mode="border", align_corners=False)
    return colors[0].permute(1, 2, 0).contiguous()
