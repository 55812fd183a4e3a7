"""Gaussians seen by a pinhole camera: screen-space means, conics, opacities and colours.

EWA splatting (Zwicker et al. 2001) as in 3D Gaussian Splatting (Kerbl et al. 2023).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from faithfusion.render.constants import COVARIANCE_BLUR_PX2, EDGE_MARGIN, NEAR_M
from faithfusion.render.project_kernels import Ellipsoids, Screen, pinhole, project_backward, project_forward
from faithfusion.render.view_colors import view_colors
from faithfusion.scene.graph import quaternion_product, quaternions_from_rotations
from faithfusion.types import Camera, Gaussians, Projection
from faithfusion.utils.warp_launch import as_warp, launch, prepare_warp


def project(gaussians: Gaussians, camera: Camera) -> Projection:
    """Screen-space Gaussians in float32, differentiable in every parameter of `gaussians` and in the camera's pose.

    Culled (radius 0): nearer than NEAR_M, opacity below MIN_ALPHA, or no pixel centre of the image inside the box in
    which alpha >= MIN_ALPHA. Gradients by what is culled are 0. The result and the gradients are bitwise the same for
    any number of threads.
    """
    rgb = view_colors(gaussians.colors, gaussians.means, camera.world_from_camera[:3, 3])
    means, quats = gaussians.means, gaussians.quats
    if camera.world_from_camera.requires_grad:
        means, quats, camera = _in_camera_axes(means, quats, camera)
    means2d, conics, depths, opacities, radii, stds2d = _Project.apply(
        means, quats, gaussians.log_scales, gaussians.opacity_logits, camera
    )
    return Projection(
        means2d=means2d, conics=conics, stds2d=stds2d, depths=depths, radii=radii, opacities=opacities, rgb=rgb
    )


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        means: Float[Tensor, "n 3"],
        quats: Float[Tensor, "n 4"],
        log_scales: Float[Tensor, "n 3"],
        opacity_logits: Float[Tensor, " n"],
        camera: Camera,
    ) -> tuple[Tensor, ...]:
        num = len(means)
        ctx.pinhole = pinhole(camera)
        screen = tuple(means.new_zeros(num, *size) for size in ((2,), (3,), (), ()))
        radii, stds2d = torch.zeros(num, dtype=torch.int32, device=means.device), torch.zeros_like(screen[0])
        gaussians = (means, quats, log_scales, opacity_logits)
        inputs = [
            ctx.pinhole,
            _ellipsoids(gaussians),
            _screen(screen),
            as_warp(radii, wp.int32),
            as_warp(stds2d, wp.vec2),
        ]
        launch(project_forward, num, inputs, means.device)
        ctx.save_for_backward(*gaussians, radii)
        ctx.mark_non_differentiable(radii, stds2d)
        return *screen, radii, stds2d

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        *gaussians, radii = ctx.saved_tensors
        gradients = tuple(torch.zeros_like(parameter) for parameter in gaussians)
        visible, by_screen = as_warp(radii, wp.int32), _screen(grads[:4])
        inputs = [ctx.pinhole, _ellipsoids(gaussians), visible, by_screen, _ellipsoids(gradients)]
        launch(project_backward, len(radii), inputs, radii.device)
        return *gradients, None


def _ellipsoids(tensors: tuple[Tensor, ...] | list[Tensor]) -> Ellipsoids:
    prepare_warp()
    result = Ellipsoids()
    dtypes = (wp.vec3, wp.vec4, wp.vec3, wp.float32)
    arrays = [as_warp(tensor, dtype) for tensor, dtype in zip(tensors, dtypes, strict=True)]
    result.means, result.quats, result.log_scales, result.opacity_logits = arrays
    return result


def _screen(tensors: tuple[Tensor, ...]) -> Screen:
    result = Screen()
    dtypes = (wp.vec2, wp.vec3, wp.float32, wp.float32)
    arrays = [as_warp(tensor, dtype) for tensor, dtype in zip(tensors, dtypes, strict=True)]
    result.means2d, result.conics, result.depths, result.opacities = arrays
    return result


def _in_camera_axes(
    means: Float[Tensor, "n 3"], quats: Float[Tensor, "n 4"], camera: Camera
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 4"], Camera]:
    """The Gaussians before a camera at the origin, through which gradients reach the pose of `camera`."""
    turn = quaternions_from_rotations(camera.world_from_camera[None, :3, :3].mT)
    at_origin = dataclasses.replace(camera, world_from_camera=torch.eye(4).to(means))
    return _camera_points(means, camera), quaternion_product(turn, quats), at_origin


def project_ellipsoids(
    means: Float[Tensor, "*n 3"], axes: Float[Tensor, "*n 3 3"], scales: Float[Tensor, "*n 3"], camera: Camera
) -> tuple[Float[Tensor, "*n 2"], Float[Tensor, "*n 3"]]:
    """Means in pixels and conics (a, b, c) in 1/px^2; `axes` in columns. Works in any precision and under `torch.func`
    transforms, which `project` does not.

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
    root_x, root_y = ((jacobian @ axes) * scales[..., None, :]).unbind(-2)
    xx, xy, yy = (root_x * root_x).sum(-1), (root_x * root_y).sum(-1), (root_y * root_y).sum(-1)
    parallelogram = torch.linalg.cross(root_x, root_y).square().sum(-1)  # xx yy - xy^2, without the difference
    determinant = parallelogram + COVARIANCE_BLUR_PX2 * (xx + yy) + COVARIANCE_BLUR_PX2**2
    conics = torch.stack([yy + COVARIANCE_BLUR_PX2, -xy, xx + COVARIANCE_BLUR_PX2], -1) / determinant[..., None]
    return means2d, conics


def _camera_points(means: Float[Tensor, "*n 3"], camera: Camera) -> Float[Tensor, "*n 3"]:
    return (means - camera.world_from_camera[:3, 3]) @ camera.world_from_camera[:3, :3]


def _clamp_slope(
    slope: Float[Tensor, "*n"], size_px: int, focal: Float[Tensor, ""], centre: Float[Tensor, ""]
) -> Float[Tensor, "*n"]:
    """Keeps the linearisation of Gaussians far outside the image from exploding, as gsplat does."""
    margin = EDGE_MARGIN * 0.5 * size_px / focal
    return slope.clamp(-centre / focal - margin, (size_px - centre) / focal + margin)
