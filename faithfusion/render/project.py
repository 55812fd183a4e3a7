"""Gaussians seen by a pinhole camera: screen-space means, conics, opacities and colours, in plain differentiable torch.

EWA splatting (Zwicker et al. 2001) as in 3D Gaussian Splatting (Kerbl et al. 2023).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.render.constants import COVARIANCE_BLUR_PX2, EDGE_MARGIN, MIN_ALPHA, NEAR_M
from faithfusion.render.view_colors import view_colors
from faithfusion.types import Camera, Gaussians, Projection


def project(gaussians: Gaussians, camera: Camera) -> Projection:
    """Screen-space Gaussians, differentiable in every parameter of `gaussians`.

    Culled (radius 0): nearer than NEAR_M, opacity below MIN_ALPHA, or no pixel centre of the image inside the box in
    which alpha >= MIN_ALPHA.
    """
    means2d, conics, opacities = screen_parameters(
        gaussians.means, gaussians.quats, gaussians.log_scales, gaussians.opacity_logits, camera
    )
    depths = _camera_points(gaussians.means, camera)[..., 2]
    rgb = view_colors(gaussians.colors, gaussians.means, camera.world_from_camera[:3, 3])
    with torch.no_grad():
        extents = extents_px(conics, opacities)
        first_pixel, last_pixel = means2d - extents - 0.5, means2d + extents - 0.5
        size = means2d.new_tensor([camera.width, camera.height])
        seen = (depths > NEAR_M) & (opacities >= MIN_ALPHA) & ((last_pixel >= 0) & (first_pixel <= size - 1)).all(-1)
        radii = torch.where(seen, extents.amax(-1).ceil(), 0.0).to(torch.int32)
    return Projection(means2d=means2d, conics=conics, depths=depths, radii=radii, opacities=opacities, rgb=rgb)


def screen_parameters(
    means: Float[Tensor, "*n 3"],
    quats: Float[Tensor, "*n 4"],
    log_scales: Float[Tensor, "*n 3"],
    opacity_logits: Float[Tensor, "*n"],
    camera: Camera,
) -> tuple[Float[Tensor, "*n 2"], Float[Tensor, "*n 3"], Float[Tensor, "*n"]]:
    """Means in pixels, conics (a, b, c) in 1/px^2 and opacities; see `project_ellipsoids`."""
    means2d, conics = project_ellipsoids(means, rotation_matrices(quats), log_scales.exp(), camera)
    return means2d, conics, opacity_logits.sigmoid()


def project_ellipsoids(
    means: Float[Tensor, "*n 3"], axes: Float[Tensor, "*n 3 3"], scales: Float[Tensor, "*n 3"], camera: Camera
) -> tuple[Float[Tensor, "*n 2"], Float[Tensor, "*n 3"]]:
    """Means in pixels and conics (a, b, c) in 1/px^2; `axes` in columns. Works under `torch.func` transforms.

    The covariance is J W R S S R^T W^T J^T + blur (Kerbl et al. 2023, equation 5), J the projection's Jacobian at the
    mean. Gaussians behind the near plane get finite numbers without meaning: they must be culled by depth.
    """
    x, y, z = _camera_points(means, camera).unbind(-1)
    z = torch.where(z > NEAR_M, z, torch.ones_like(z))
    focal_x, focal_y = camera.intrinsics[0, 0], camera.intrinsics[1, 1]
    centre_x, centre_y = camera.intrinsics[0, 2], camera.intrinsics[1, 2]
    slope_x, slope_y = x / z, y / z
    means2d = torch.stack([focal_x * slope_x + centre_x, focal_y * slope_y + centre_y], -1)
    bound_x = _clamp_slope(slope_x, camera.width, focal_x, centre_x)
    bound_y = _clamp_slope(slope_y, camera.height, focal_y, centre_y)
    zero = torch.zeros_like(z)
    row_x = torch.stack([focal_x / z, zero, -focal_x * bound_x / z], -1)
    row_y = torch.stack([zero, focal_y / z, -focal_y * bound_y / z], -1)
    jacobian = torch.stack([row_x, row_y], -2) @ camera.camera_from_world[:3, :3]
    root = (jacobian @ axes) * scales[..., None, :]
    root_x, root_y = root.unbind(-2)
    cov_xx = (root_x * root_x).sum(-1) + COVARIANCE_BLUR_PX2
    cov_yy = (root_y * root_y).sum(-1) + COVARIANCE_BLUR_PX2
    cov_xy = (root_x * root_y).sum(-1)
    conics = torch.stack([cov_yy, -cov_xy, cov_xx], -1) / (cov_xx * cov_yy - cov_xy * cov_xy)[..., None]
    return means2d, conics


def extents_px(conics: Float[Tensor, "n 3"], opacities: Float[Tensor, " n"]) -> Float[Tensor, "n 2"]:
    """Half width and half height of the axis-aligned box around the ellipse alpha = MIN_ALPHA; 0 if there is none."""
    a, b, c = conics.unbind(-1)
    reach = 2.0 * (opacities / MIN_ALPHA).clamp_min(1.0).log()  # d^T conic d at the edge
    covariance = torch.stack([c, a], -1) / (a * c - b * b)[:, None]
    return (reach[:, None] * covariance).sqrt()


def rotation_matrices(quats: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 3 3"]:
    """Rotation matrices of wxyz quaternions, which need not be normalised."""
    w, x, y, z = (quats / quats.norm(dim=-1, keepdim=True).clamp_min(1e-12)).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def _camera_points(means: Float[Tensor, "*n 3"], camera: Camera) -> Float[Tensor, "*n 3"]:
    return (means - camera.world_from_camera[:3, 3]) @ camera.world_from_camera[:3, :3]


def _clamp_slope(
    slope: Float[Tensor, "*n"], size_px: int, focal: Float[Tensor, ""], centre: Float[Tensor, ""]
) -> Float[Tensor, "*n"]:
    """Keeps the linearisation of Gaussians far outside the image from exploding, as gsplat does."""
    margin = EDGE_MARGIN * 0.5 * size_px / focal
    return slope.clamp(-centre / focal - margin, (size_px - centre) / focal + margin)
