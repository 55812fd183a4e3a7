"""Slow twin of the rasteriser: every pixel looks at every Gaussian, sorted by depth; gradients by autograd.

Written from the equations, sharing nothing with `faithfusion.render` but its constants.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.render.constants import (
    COVARIANCE_BLUR_PX2,
    EDGE_MARGIN,
    MAX_ALPHA,
    MIN_ALPHA,
    MIN_TRANSMITTANCE,
    NEAR_M,
)
from faithfusion.types import Camera, Gaussians


def render_reference(
    gaussians: Gaussians, camera: Camera, background: Float[Tensor, "h w 3"], *, pixels_per_chunk: int = 4096
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Colour, expected depth and alpha in the precision of its inputs; memory is N x pixels_per_chunk."""
    splats = project_reference(gaussians, camera)
    chunks = zip(
        pixel_centres(camera).to(background).split(pixels_per_chunk),
        background.reshape(-1, 3).split(pixels_per_chunk),
        strict=True,
    )
    color, depth, alpha = zip(*(blend_reference(splats, *chunk) for chunk in chunks), strict=True)
    size = (camera.height, camera.width)
    return torch.cat(color).reshape(*size, 3), torch.cat(depth).reshape(size), torch.cat(alpha).reshape(size)


def pixel_centres(camera: Camera) -> Float[Tensor, "hw 2"]:
    ys, xs = torch.meshgrid(torch.arange(camera.height), torch.arange(camera.width), indexing="ij")
    return torch.stack([xs, ys], -1).reshape(-1, 2) + 0.5


def project_reference(gaussians: Gaussians, camera: Camera) -> dict[str, Tensor]:
    """Screen-space Gaussians before the near plane, front to back; `ids` are their numbers."""
    camera_from_world = torch.linalg.inv(camera.world_from_camera)
    rotation = camera_from_world[:3, :3]
    points = gaussians.means @ rotation.T + camera_from_world[:3, 3]
    order = points[:, 2].detach().argsort(stable=True)
    order = order[points[order, 2] > NEAR_M]
    points = points[order]
    scales = gaussians.log_scales[order].exp()
    axes = quaternion_rotation(gaussians.quats[order])
    cov_world = axes @ torch.diag_embed(scales**2) @ axes.mT
    jacobian = pinhole_jacobian(points, camera)
    cov = jacobian @ rotation @ cov_world @ rotation.T @ jacobian.mT
    pixels = points @ camera.intrinsics.T
    return {
        "ids": order,
        "means": pixels[:, :2] / pixels[:, 2:],
        "precisions": torch.linalg.inv(cov + COVARIANCE_BLUR_PX2 * torch.eye(2).to(cov)),
        "depths": points[:, 2],
        "opacities": gaussians.opacity_logits[order].sigmoid(),
        "colors": harmonic_colors(gaussians.colors[order], gaussians.means[order] - camera.world_from_camera[:3, 3]),
    }


def blend_reference(
    splats: dict[str, Tensor], pixels: Float[Tensor, "p 2"], background: Float[Tensor, "p 3"]
) -> tuple[Float[Tensor, "p 3"], Float[Tensor, " p"], Float[Tensor, " p"]]:
    """Front-to-back alpha blending: c = sum_i a_i prod_{j < i} (1 - a_j) c_i + prod_j (1 - a_j) background."""
    offset = pixels[:, None] - splats["means"]
    q = torch.einsum("pni,nij,pnj->pn", offset, splats["precisions"], offset)
    alpha = (splats["opacities"] * torch.exp(-0.5 * q)).clamp_max(MAX_ALPHA)
    alpha = torch.where(alpha >= MIN_ALPHA, alpha, 0.0)
    after = torch.cumprod(1.0 - alpha, 1)
    alpha = torch.where(after > MIN_TRANSMITTANCE, alpha, 0.0)  # transmittance only falls: all later ones stop as well
    after = torch.cumprod(1.0 - alpha, 1)
    before = torch.cat([torch.ones_like(after[:, :1]), after], 1)
    weights = alpha * before[:, :-1]
    left = before[:, -1]
    total = weights.sum(1)
    color = weights @ splats["colors"] + left[:, None] * background
    depth = torch.where(total > 0, weights @ splats["depths"] / total.clamp_min(1e-6), 0.0)
    return color, depth, total


def quaternion_rotation(quats: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 3 3"]:
    """R v = v + 2 w (u x v) + 2 u x (u x v) with u the vector part of the unit quaternion."""
    unit = quats / quats.norm(dim=-1, keepdim=True)
    w, x, y, z = unit.unbind(-1)
    zero = torch.zeros_like(w)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*w.shape, 3, 3)
    return torch.eye(3).to(quats) + 2 * w[..., None, None] * cross + 2 * cross @ cross


def pinhole_jacobian(points: Float[Tensor, "n 3"], camera: Camera) -> Float[Tensor, "n 2 3"]:
    """d pixel / d point, at slopes clamped to the image plus EDGE_MARGIN tan(fov / 2) on each side."""
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics
    z = points[:, 2]
    limits_x = (
        -cx / fx - EDGE_MARGIN * camera.width / (2 * fx),
        (camera.width - cx) / fx + EDGE_MARGIN * camera.width / (2 * fx),
    )
    limits_y = (
        -cy / fy - EDGE_MARGIN * camera.height / (2 * fy),
        (camera.height - cy) / fy + EDGE_MARGIN * camera.height / (2 * fy),
    )
    x = z * torch.minimum(torch.maximum(points[:, 0] / z, limits_x[0]), limits_x[1])
    y = z * torch.minimum(torch.maximum(points[:, 1] / z, limits_y[0]), limits_y[1])
    zero = torch.zeros_like(z)
    return torch.stack([fx / z, zero, -fx * x / z**2, zero, fy / z, -fy * y / z**2], -1).reshape(-1, 2, 3)


def harmonic_colors(colors: Float[Tensor, "n k 3"], directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Colours from spherical harmonics, constants as tabulated for 3D Gaussian Splatting."""
    x, y, z = (directions / directions.norm(dim=-1, keepdim=True)).unbind(-1)
    basis = [
        0.28209479177387814 * torch.ones_like(x),
        -0.4886025119029199 * y,
        0.4886025119029199 * z,
        -0.4886025119029199 * x,
        1.0925484305920792 * x * y,
        -1.0925484305920792 * y * z,
        0.31539156525252005 * (2 * z**2 - x**2 - y**2),
        -1.0925484305920792 * x * z,
        0.5462742152960396 * (x**2 - y**2),
        -0.5900435899266435 * y * (3 * x**2 - y**2),
        2.890611442640554 * x * y * z,
        -0.4570457994644658 * y * (4 * z**2 - x**2 - y**2),
        0.3731763325901154 * z * (2 * z**2 - 3 * x**2 - 3 * y**2),
        -0.4570457994644658 * x * (4 * z**2 - x**2 - y**2),
        1.445305721320277 * z * (x**2 - y**2),
        -0.5900435899266435 * x * (x**2 - 3 * y**2),
    ]
    rgb = sum(basis[i][:, None] * colors[:, i] for i in range(colors.shape[1]))
    return (0.5 + rgb).clamp_min(0)
