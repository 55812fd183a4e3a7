"""The loss that holds Gaussians near the ground in it, flat: value and gradient in one Warp kernel, CPU and CUDA."""

# Signatures of Warp kernels hold values where Python has types.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

from typing import Any

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from faithfusion.render.project_kernels import quaternion_gradient, unit_quaternion
from faithfusion.scene.ground import CELL_M, Ground
from faithfusion.types import Gaussians
from faithfusion.utils.warp_launch import as_warp, launch, prepare_warp

GROUND_REACH_M = 0.3
"""Background Gaussians whose mean is this near to the ground belong to it."""
CELL = wp.constant(CELL_M)
REACH = wp.constant(GROUND_REACH_M)
LEVEL = wp.constant(1e-5)  # a height in metres that may be rounding: what was laid on the ground is not pulled about
TINY = wp.constant(1e-12)  # keeps the slope of a root finite at 0


def ground_loss(gaussians: Gaussians, node_ids: Int[Tensor, " n"], ground: Ground) -> Float[Tensor, ""]:
    """Mean over all background Gaussians of |height| + standard deviation along the normal, metres, counted for those
    near the ground: they lie in it, and flat. Differentiable once; the normal counts as constant."""
    return _GroundLoss.apply(gaussians.means, gaussians.quats, gaussians.log_scales, node_ids, ground)


class _GroundLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        means: Float[Tensor, "n 3"],
        quats: Float[Tensor, "n 4"],
        log_scales: Float[Tensor, "n 3"],
        node_ids: Int[Tensor, " n"],
        ground: Ground,
    ) -> Float[Tensor, ""]:
        surface, gaussians, slopes = Surface(), Held(), Held()
        prepare_warp()
        x, y = ground.origin_m.tolist()
        surface.origin = wp.vec2(x, y)
        surface.heights, surface.known = as_warp(ground.heights_m, wp.float32), as_warp(ground.known, wp.bool)
        gradients = tuple(torch.zeros_like(parameter) for parameter in (means, quats, log_scales))
        for held, tensors in ((gaussians, (means, quats, log_scales)), (slopes, gradients)):
            held.means, held.quats = as_warp(tensors[0], wp.vec3), as_warp(tensors[1], wp.vec4)
            held.log_scales = as_warp(tensors[2], wp.vec3)
        values = means.new_zeros(len(means))
        inputs = [surface, gaussians, as_warp(node_ids.int(), wp.int32), as_warp(values, wp.float32), slopes]
        launch(_hold, len(means), inputs, means.device)
        ctx.save_for_backward(*gradients)
        return values.sum() / len(means)

    @staticmethod
    def backward(ctx: Any, grad: Float[Tensor, ""]) -> tuple[Tensor | None, ...]:
        gradients = ctx.saved_tensors
        scale = grad / len(gradients[0])
        return *(gradient * scale for gradient in gradients), None, None


@wp.struct
class Surface:
    """A `Ground` as Warp sees it."""

    origin: wp.vec2
    heights: wp.array2d(dtype=wp.float32)
    known: wp.array2d(dtype=wp.bool)


@wp.struct
class Held:
    """Gaussians, or the gradients by them."""

    means: wp.array(dtype=wp.vec3)
    quats: wp.array(dtype=wp.vec4)
    log_scales: wp.array(dtype=wp.vec3)


@wp.func
def above(surface: Surface, point: wp.vec3) -> wp.vec3:
    """(height over the ground, slope of the ground along x and y), as `scene.ground.ground_at` has them."""
    u = (point[0] - surface.origin[0]) / CELL
    v = (point[1] - surface.origin[1]) / CELL
    i = wp.max(wp.min(int(wp.floor(u)), surface.heights.shape[0] - 2), 0)
    j = wp.max(wp.min(int(wp.floor(v)), surface.heights.shape[1] - 2), 0)
    i_next = wp.min(i + 1, surface.heights.shape[0] - 1)
    j_next = wp.min(j + 1, surface.heights.shape[1] - 1)
    u -= float(i)
    v -= float(j)
    near = (1.0 - u) * surface.heights[i, j] + u * surface.heights[i_next, j]
    far = (1.0 - u) * surface.heights[i, j_next] + u * surface.heights[i_next, j_next]
    slope_near = surface.heights[i_next, j] - surface.heights[i, j]
    slope_far = surface.heights[i_next, j_next] - surface.heights[i, j_next]
    slope_x = ((1.0 - v) * slope_near + v * slope_far) / CELL
    return wp.vec3(point[2] - (1.0 - v) * near - v * far, slope_x, (far - near) / CELL)


@wp.func
def is_known(surface: Surface, point: wp.vec3) -> bool:
    """Whether returns support the ground at the nearest node."""
    u = (point[0] - surface.origin[0]) / CELL
    v = (point[1] - surface.origin[1]) / CELL
    rows = surface.known.shape[0]
    columns = surface.known.shape[1]
    if not (u >= -0.5 and v >= -0.5 and u <= float(rows) - 0.5 and v <= float(columns) - 0.5):
        return False
    return surface.known[wp.max(wp.min(int(wp.rint(u)), rows - 1), 0), wp.max(wp.min(int(wp.rint(v)), columns - 1), 0)]


@wp.kernel(enable_backward=False)
def _hold(
    first: int,
    surface: Surface,
    gaussians: Held,
    node_ids: wp.array(dtype=wp.int32),
    values: wp.array(dtype=wp.float32),
    gradients: Held,
):
    """The term of one Gaussian and its gradient; both start at 0.

    With a the normal in the axes of the Gaussian, the variance along it is sum_k (a_k s_k)^2.
    """
    i = first + wp.tid()
    point = gaussians.means[i]
    if node_ids[i] == 0 and is_known(surface, point):
        height = above(surface, point)
        if wp.abs(height[0]) < REACH:
            normal = wp.normalize(wp.vec3(-height[1], -height[2], 1.0))
            unit = unit_quaternion(gaussians.quats[i])
            along = wp.quat_rotate_inv(wp.quat(unit[1], unit[2], unit[3], unit[0]), normal)
            log_scales = gaussians.log_scales[i]
            squares = wp.vec3(wp.exp(2.0 * log_scales[0]), wp.exp(2.0 * log_scales[1]), wp.exp(2.0 * log_scales[2]))
            pull = wp.cw_mul(squares, along)
            thickness = wp.sqrt(wp.dot(pull, along) + TINY)
            values[i] = wp.abs(height[0]) + thickness
            side = wp.float32(0.0)
            if wp.abs(height[0]) > LEVEL:
                side = wp.sign(height[0])
            gradients.means[i] = side * wp.vec3(-height[1], -height[2], 1.0)
            gradients.log_scales[i] = wp.cw_mul(pull, along) / thickness
            turned = quaternion_gradient(unit, wp.cross(pull, along) / thickness)
            gradients.quats[i] = turned / wp.max(wp.length(gaussians.quats[i]), 1.0e-12)
