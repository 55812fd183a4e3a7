"""EWA projection of Gaussians and its gradient in closed form, in NVIDIA Warp: one thread per Gaussian, CPU and CUDA.

With camera axes V of a Gaussian (columns), its scales s, the Jacobian J of the pinhole and B = J V (rows b_x, b_y), the
covariance in the image is P P^T + blur, P = B diag(s) (Zwicker et al. 2002; Kerbl et al. 2023, equation 5). Nothing
here subtracts numbers that are nearly equal, so that splats of 200 x 1 pixels keep their short axis in float32: with
c = b_x x b_y, known from V and the viewing ray alone, the determinant is a sum of squares, and so is conic B a sum.
"""

# Signatures of Warp kernels hold values where Python has types.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

import torch
import warp as wp

from faithfusion.render.constants import COVARIANCE_BLUR_PX2, EDGE_MARGIN, MIN_ALPHA, NEAR_M
from faithfusion.types import Camera

BLUR = wp.constant(COVARIANCE_BLUR_PX2)
ALPHA_FLOOR = wp.constant(MIN_ALPHA)
NEAR = wp.constant(NEAR_M)


@wp.struct
class Pinhole:
    """A camera: focal lengths, principal point and size in pixels, world_from_camera, and the range of x/z and y/z in
    the projection's Jacobian."""

    focal: wp.vec2
    centre: wp.vec2
    size: wp.vec2
    rotation: wp.mat33
    position: wp.vec3
    low: wp.vec2
    high: wp.vec2


@wp.struct
class Ellipsoids:
    """Gaussians in world coordinates as they are stored."""

    means: wp.array(dtype=wp.vec3)
    quats: wp.array(dtype=wp.vec4)
    log_scales: wp.array(dtype=wp.vec3)
    opacity_logits: wp.array(dtype=wp.float32)


@wp.struct
class Screen:
    """The same Gaussians in the image, or the gradients by that."""

    means2d: wp.array(dtype=wp.vec2)
    conics: wp.array(dtype=wp.vec3)
    depths: wp.array(dtype=wp.float32)
    opacities: wp.array(dtype=wp.float32)


@wp.struct
class Footprint:
    """How one Gaussian meets the image: V, squared scales, b_x, b_y, c and the inverse covariance with its parts."""

    axes: wp.mat33
    squares: wp.vec3
    row_x: wp.vec3
    row_y: wp.vec3
    cross: wp.vec3
    covariance: wp.vec3
    determinant: wp.float32
    conic: wp.vec3


@wp.func
def unit_quaternion(quat: wp.vec4) -> wp.vec4:
    return quat / wp.max(wp.length(quat), 1.0e-12)


@wp.func
def footprint(camera: Pinhole, point: wp.vec3, quat: wp.vec4, log_scales: wp.vec3) -> Footprint:
    """`point` in camera coordinates, before the near plane; `quat` of unit length."""
    f = Footprint()
    f.axes = wp.transpose(camera.rotation) * wp.quat_to_matrix(wp.quat(quat[1], quat[2], quat[3], quat[0]))
    scales = wp.vec3(wp.exp(log_scales[0]), wp.exp(log_scales[1]), wp.exp(log_scales[2]))
    f.squares = wp.cw_mul(scales, scales)
    slope_x = wp.clamp(point[0] / point[2], camera.low[0], camera.high[0])
    slope_y = wp.clamp(point[1] / point[2], camera.low[1], camera.high[1])
    focal_x = camera.focal[0] / point[2]
    focal_y = camera.focal[1] / point[2]
    along_x = wp.vec3(f.axes[0, 0], f.axes[0, 1], f.axes[0, 2])
    along_y = wp.vec3(f.axes[1, 0], f.axes[1, 1], f.axes[1, 2])
    along_z = wp.vec3(f.axes[2, 0], f.axes[2, 1], f.axes[2, 2])
    f.row_x = focal_x * (along_x - slope_x * along_z)
    f.row_y = focal_y * (along_y - slope_y * along_z)
    f.cross = (focal_x * focal_y) * (slope_x * along_x + slope_y * along_y + along_z)
    xx = wp.dot(f.squares, wp.cw_mul(f.row_x, f.row_x))
    xy = wp.dot(f.squares, wp.cw_mul(f.row_x, f.row_y))
    yy = wp.dot(f.squares, wp.cw_mul(f.row_y, f.row_y))
    normal = wp.cw_mul(f.cross, wp.vec3(scales[1] * scales[2], scales[2] * scales[0], scales[0] * scales[1]))
    f.covariance = wp.vec3(xx + BLUR, xy, yy + BLUR)
    f.determinant = wp.dot(normal, normal) + BLUR * (xx + yy) + BLUR * BLUR
    f.conic = wp.vec3(yy + BLUR, -xy, xx + BLUR) / f.determinant
    return f


@wp.func
def reach(opacity: float) -> float:
    """Standard deviations from the mean to the ellipse alpha = MIN_ALPHA; 0 if there is none."""
    return wp.sqrt(2.0 * wp.log(wp.max(opacity / ALPHA_FLOOR, 1.0)))


@wp.kernel(enable_backward=False)
def project_forward(
    first: int,
    camera: Pinhole,
    gaussians: Ellipsoids,
    screen: Screen,
    radii: wp.array(dtype=wp.int32),
    stds2d: wp.array(dtype=wp.vec2),
):
    """Fills `screen`, `radii` and `stds2d`, all of which start at 0. What lies behind the near plane keeps a mean of 0,
    a conic of 0 and its depth."""
    i = first + wp.tid()
    point = wp.transpose(camera.rotation) * (gaussians.means[i] - camera.position)
    opacity = 1.0 / (1.0 + wp.exp(-gaussians.opacity_logits[i]))
    screen.depths[i] = point[2]
    screen.opacities[i] = opacity
    if point[2] > NEAR:
        mean = wp.cw_mul(camera.focal, wp.vec2(point[0], point[1]) / point[2]) + camera.centre
        f = footprint(camera, point, unit_quaternion(gaussians.quats[i]), gaussians.log_scales[i])
        screen.means2d[i] = mean
        screen.conics[i] = f.conic
        stds2d[i] = wp.vec2(wp.sqrt(f.covariance[0]), wp.sqrt(f.covariance[2]))
        if opacity >= ALPHA_FLOOR:
            half = reach(opacity) * stds2d[i]
            begin = mean - half
            end = mean + half
            if (
                end[0] >= 0.5
                and end[1] >= 0.5
                and begin[0] <= camera.size[0] - 0.5
                and begin[1] <= camera.size[1] - 0.5
            ):
                radii[i] = int(wp.ceil(wp.max(half[0], half[1])))


@wp.kernel(enable_backward=False)
def project_backward(
    first: int,
    camera: Pinhole,
    gaussians: Ellipsoids,
    radii: wp.array(dtype=wp.int32),
    screen: Screen,
    gradients: Ellipsoids,
):
    """Turns gradients by `screen` into gradients by `gaussians`, for the visible ones alone; the others keep theirs.

    With G the symmetric gradient by the conic Q, d loss / d P = -2 Q G Q P. `v` holds the rows of Q B.
    """
    i = first + wp.tid()
    if radii[i] > 0:
        point = wp.transpose(camera.rotation) * (gaussians.means[i] - camera.position)
        quat = unit_quaternion(gaussians.quats[i])
        f = footprint(camera, point, quat, gaussians.log_scales[i])
        v_x = (BLUR * f.row_x + wp.cross(wp.cw_mul(f.squares, f.row_y), f.cross)) / f.determinant
        v_y = (BLUR * f.row_y - wp.cross(wp.cw_mul(f.squares, f.row_x), f.cross)) / f.determinant
        d_conic = screen.conics[i]
        g_x = d_conic[0] * v_x + 0.5 * d_conic[1] * v_y
        g_y = 0.5 * d_conic[1] * v_x + d_conic[2] * v_y
        gradients.log_scales[i] = -2.0 * wp.cw_mul(f.squares, wp.cw_mul(g_x, v_x) + wp.cw_mul(g_y, v_y))
        turn = -2.0 * (wp.cross(wp.cw_mul(f.squares, g_x), v_x) + wp.cross(wp.cw_mul(f.squares, g_y), v_y))
        gradients.quats[i] = quaternion_gradient(quat, turn) / wp.max(wp.length(gaussians.quats[i]), 1.0e-12)
        d_jacobian_x = f.axes * (-2.0 * wp.cw_mul(f.squares, f.conic[0] * g_x + f.conic[1] * g_y))
        d_jacobian_y = f.axes * (-2.0 * wp.cw_mul(f.squares, f.conic[1] * g_x + f.conic[2] * g_y))
        d_mean = screen.means2d[i]
        x = point_gradient(camera, 0, point, d_mean[0], d_jacobian_x[0], d_jacobian_x[2])
        y = point_gradient(camera, 1, point, d_mean[1], d_jacobian_y[1], d_jacobian_y[2])
        gradients.means[i] = camera.rotation * wp.vec3(x[0], y[0], x[1] + y[1] + screen.depths[i])
        opacity = 1.0 / (1.0 + wp.exp(-gaussians.opacity_logits[i]))
        gradients.opacity_logits[i] = screen.opacities[i] * opacity * (1.0 - opacity)


@wp.func
def quaternion_gradient(unit: wp.vec4, turn: wp.vec3) -> wp.vec4:
    """From the gradient by a rotation vector r in q exp(r / 2) to that by the unit quaternion q (wxyz)."""
    vector = wp.vec3(unit[1], unit[2], unit[3])
    part = 2.0 * (unit[0] * turn + wp.cross(vector, turn))
    return wp.vec4(-2.0 * wp.dot(vector, turn), part[0], part[1], part[2])


@wp.func
def point_gradient(
    camera: Pinhole, axis: int, point: wp.vec3, d_mean: float, d_along: float, d_depth: float
) -> wp.vec2:
    """Gradient by x and z of one image axis: of the mean focal x / z, and of the Jacobian's entries focal / z along the
    axis and -focal slope / z along the depth, where the slope is x / z between its bounds."""
    z = point[2]
    slope = point[axis] / z
    bound = wp.clamp(slope, camera.low[axis], camera.high[axis])
    scale = camera.focal[axis] / z
    d_slope = camera.focal[axis] * d_mean
    if slope == bound:
        d_slope -= scale * d_depth
    return wp.vec2(d_slope / z, -(d_slope * slope + scale * (d_along - bound * d_depth)) / z)


def pinhole(camera: Camera) -> Pinhole:
    """`camera` as Warp sees it, read from its device at once."""
    numbers = torch.cat([camera.intrinsics.flatten(), camera.world_from_camera.flatten()]).detach().tolist()
    K, pose = numbers[:9], numbers[9:]
    focal, centre, size = (K[0], K[4]), (K[2], K[5]), (camera.width, camera.height)
    parts = list(zip(focal, centre, size, strict=True))
    result = Pinhole()
    result.focal, result.centre, result.size = wp.vec2(*focal), wp.vec2(*centre), wp.vec2(*size)
    result.rotation = wp.mat33(*pose[0:3], *pose[4:7], *pose[8:11])
    result.position = wp.vec3(pose[3], pose[7], pose[11])
    result.low = wp.vec2(*((-c - EDGE_MARGIN * 0.5 * s) / f for f, c, s in parts))
    result.high = wp.vec2(*((s - c + EDGE_MARGIN * 0.5 * s) / f for f, c, s in parts))
    return result
