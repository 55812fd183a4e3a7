"""Carries the pixels of one view over to another view by their depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.data.lidar import NEAR_PLANE_M, project_points
from faithfusion.types import Camera

FAR_M = 1000.0
"""Depth in metres of the sky, which lies where nothing was rendered."""
DEPTH_TOLERANCE = 0.05
"""Relative; a picture whose depth at a point differs more shows another surface there."""


def pixel_rays(camera: Camera) -> Float[Tensor, "h w 3"]:
    """World directions through the pixel centres, of camera z = 1: a point at depth z is centre + z * ray."""
    rows, columns = torch.arange(camera.height) + 0.5, torch.arange(camera.width) + 0.5
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    rays = torch.stack([u, v, torch.ones_like(u)], dim=-1).to(camera.intrinsics)
    return rays @ torch.linalg.inv(camera.intrinsics).T @ camera.world_from_camera[:3, :3].T


def world_points(depth_m: Float[Tensor, "h w"], camera: Camera) -> Float[Tensor, "h w 3"]:
    """World points of all pixels (camera z in metres); those of depth 0 are `FAR_M` away."""
    depth_m = torch.where(depth_m > 0.0, depth_m, FAR_M)
    return camera.world_from_camera[:3, 3] + depth_m[..., None] * pixel_rays(camera)


@dataclass(frozen=True)
class Sighting:
    """Where a picture shows the points of another view's pixels: pixels with centres at +0.5, depth (camera z) in
    metres, and whether they are in front of the camera and in the picture."""

    uv: Float[Tensor, "h w 2"]
    z_m: Float[Tensor, "h w"]
    is_inside: Bool[Tensor, "h w"]

    def sample(self, image: Float[Tensor, "h2 w2 c"], mode: str = "bilinear") -> Float[Tensor, "h w c"]:
        """The picture's values there."""
        return sample_image(image, self.uv, mode)

    def is_shown(self, depth_m: Float[Tensor, "h2 w2"]) -> Bool[Tensor, "h w"]:
        """Whether the picture, of that depth, shows the points: they are inside, and nothing else lies there."""
        seen_z_m = self.sample(depth_m[..., None])[..., 0]
        return self.is_inside & ((seen_z_m - self.z_m).abs() < DEPTH_TOLERANCE * self.z_m)


def sight(points: Float[Tensor, "h w 3"], camera: Camera) -> Sighting:
    """The places at which `camera` sees world points."""
    found = project_points(points.flatten(0, 1), camera)
    return Sighting(*(values.unflatten(0, points.shape[:2]) for values in found))


def seen_by(cameras: Sequence[Camera], points: Float[Tensor, "p 3"]) -> Bool[Tensor, "v p"]:
    """Whether world points lie in the pictures of cameras and before them; what is in between is not looked at."""
    poses = torch.stack([camera.world_from_camera for camera in cameras]).to(points)
    local = (points - poses[:, None, :3, 3]) @ poses[:, :3, :3]
    pixels = local @ torch.stack([camera.intrinsics for camera in cameras]).to(points).transpose(1, 2)
    uv = pixels[..., :2] / pixels[..., 2:].clamp_min(NEAR_PLANE_M)
    size = torch.tensor([[camera.width, camera.height] for camera in cameras]).to(points)[:, None]
    return (local[..., 2] > NEAR_PLANE_M) & (uv >= 0.0).all(-1) & (uv < size).all(-1)


def sample_image(
    image: Float[Tensor, "h2 w2 c"], uv: Float[Tensor, "h w 2"], mode: str = "bilinear"
) -> Float[Tensor, "h w c"]:
    """Values at pixel positions `uv` (centres at +0.5); the edge repeats outside. `mode`: as `grid_sample`'s."""
    size = torch.tensor([image.shape[1], image.shape[0]]).to(uv)
    grid = (uv / size * 2.0 - 1.0)[None].to(image)
    planes = image.permute(2, 0, 1)[None]
    found = F.grid_sample(planes, grid, mode=mode, padding_mode="border", align_corners=False)
    return found[0].permute(1, 2, 0)
