"""From the pixels of one view to those of another, by depth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from faithfusion.types import Camera

FAR_M = 1000.0
"""Where nothing was rendered lies the sky: far away."""
MIN_Z_M = 0.1


def pixel_rays(camera: Camera) -> Float[Tensor, "h w 3"]:
    """World directions through the pixel centres, of camera z = 1: a point at depth z is centre + z * ray."""
    rows, columns = torch.arange(camera.height) + 0.5, torch.arange(camera.width) + 0.5
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    rays = torch.stack([u, v, torch.ones_like(u)], dim=-1).to(camera.intrinsics)
    return rays @ torch.linalg.inv(camera.intrinsics).T @ camera.world_from_camera[:3, :3].T


def world_points(depth_m: Float[Tensor, "h w"], camera: Camera) -> Float[Tensor, "h w 3"]:
    """World points of all pixels; those of depth 0 are `FAR_M` away."""
    depth_m = torch.where(depth_m > 0.0, depth_m, FAR_M)
    return camera.world_from_camera[:3, 3] + depth_m[..., None] * pixel_rays(camera)


@dataclass(frozen=True)
class Sighting:
    """Where a picture shows the points of another view's pixels. `place`: x and y in [-1, 1] from border to border;
    `z_m`: depth there, negative behind the camera."""

    place: Float[Tensor, "h w 2"]
    z_m: Float[Tensor, "h w"]

    @property
    def is_inside(self) -> Tensor:
        """Whether the picture can show the point."""
        return (self.z_m > MIN_Z_M) & (self.place.abs() < 1.0).all(-1)

    def sample(self, image: Float[Tensor, "h2 w2 c"], mode: str = "bicubic") -> Float[Tensor, "h w c"]:
        """The picture's values there, its border continued."""
        planes = image.permute(2, 0, 1)[None]
        found = F.grid_sample(planes, self.place[None], mode=mode, padding_mode="border", align_corners=False)
        return found[0].permute(1, 2, 0)


def sight(points: Float[Tensor, "h w 3"], camera: Camera) -> Sighting:
    """Where `camera` sees world points."""
    pose = camera.camera_from_world
    local = points @ pose[:3, :3].T + pose[:3, 3]
    z_m = local[..., 2]
    pixels = local @ camera.intrinsics.T
    size = torch.tensor([camera.width, camera.height]).to(points)
    place = 2.0 * pixels[..., :2] / pixels[..., 2:].clamp_min(MIN_Z_M) / size - 1.0
    return Sighting(place, z_m)
