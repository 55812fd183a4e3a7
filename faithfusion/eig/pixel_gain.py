"""Pass 2: expected information gain of every pixel of a view, in nats.

V_p = sum_k g_c^T S_k g_c' + T_p^2 Var_sky I_3 with S_k = U_k H_k^-1 U_k^T; EIG(p) = 1/2 log det(I_3 + V_p / sigma^2).
As in pass 1, v is alpha times a quadratic polynomial in the pixel offset, so a Gaussian's part of V_p is a polynomial
with 39 coefficients: 15 of degree 4 for alpha^2 d d^T, 3 x 6 of degree 2 for alpha w d, and 6 numbers for w^2.
"""

from __future__ import annotations

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from faithfusion.eig.jacobian import (
    Pinhole,
    SceneGaussians,
    geometry_block,
    offset_block,
    pinhole,
    point_slopes,
    scene_gaussians,
)
from faithfusion.eig.moments import count_alive, mat39, mat55, num_blocks, quartic_slot, splats_of, vec5
from faithfusion.eig.posterior import EigConfig, Posterior, prior_precision
from faithfusion.render.view import render_view
from faithfusion.render.warp_kernels import (
    ALPHA_CAP,
    ALPHA_FLOOR,
    TRANSMITTANCE_FLOOR,
    Splats,
    block_corner,
    columns_of,
    reach,
    rows_of,
)
from faithfusion.render.warp_launch import as_warp, launch
from faithfusion.scene.sky import sky_background
from faithfusion.types import Camera, EigMap, GaussianScene, Rendering, Sky
from faithfusion.utils.errors import InputError

NUM_COEFFICIENTS = 39

vec6 = wp.types.vector(length=6, dtype=float)
vec9d = wp.types.vector(length=9, dtype=wp.float64)
mat99d = wp.types.matrix(shape=(9, 9), dtype=wp.float64)
mat13d = wp.types.matrix(shape=(13, 13), dtype=wp.float64)
mat13x9d = wp.types.matrix(shape=(13, 9), dtype=wp.float64)


def eig_map(
    scene: GaussianScene, posterior: Posterior, camera: Camera, time_index: int, config: EigConfig
) -> tuple[EigMap, Rendering]:
    """EIG of observing every pixel of `camera` at `time_index`, and the rendering it belongs to.

    A pixel without Gaussians under an unseen sky direction gets the prior variance of a colour. No gradients.
    Raises InputError if the posterior belongs to a scene with another number of Gaussians.
    """
    if posterior.precision.shape[0] != scene.gaussians.num:
        raise InputError("posterior", f"{posterior.precision.shape[0]} Gaussians", f"the scene's {scene.gaussians.num}")
    camera = camera.to(scene.gaussians.means.device)
    with torch.no_grad():
        rendering = render_view(scene, camera, time_index)
        variance = predictive_variance(scene, posterior, camera, time_index, rendering, config)
        trace = variance[..., [0, 3, 5]].clamp_min(0.0).sum(-1)
        gain = information_gain(variance / config.noise_std**2)
    return EigMap(eig_nats=gain, predictive_variance=trace / 3.0, alpha=rendering.alpha), rendering


def predictive_variance(
    scene: GaussianScene,
    posterior: Posterior,
    camera: Camera,
    time_index: int,
    rendering: Rendering,
    config: EigConfig,
) -> Float[Tensor, "h w 6"]:
    """Upper triangle (rr, rg, rb, gg, gb, bb) of V_p, colour units squared; float32 noise can make it slightly < 0."""
    touched = torch.unique(rendering.tiles.gaussian_ids)
    rows = torch.zeros(scene.gaussians.num, dtype=torch.int32, device=touched.device)
    rows[touched.long()] = torch.arange(len(touched), dtype=torch.int32, device=touched.device)
    coefficients = variance_coefficients(scene, posterior, camera, time_index, rendering, touched, config)
    variance = torch.zeros(camera.height, camera.width, 6, device=touched.device)
    splats = splats_of(rendering)
    inputs = [splats, as_warp(torch.ones_like(rendering.alpha), wp.float32)]
    inputs += [as_warp(rendering.color.detach().clone(), wp.vec3), as_warp(rows, wp.int32)]
    inputs += [as_warp(coefficients, wp.float32), as_warp(variance, vec6)]
    launch(_pixel_variance, num_blocks(splats), inputs, touched.device)
    sky_variance = posterior.sky_precision.reciprocal()[..., None].expand(-1, -1, 3)
    behind = (1.0 - rendering.alpha).square() * sky_background(Sky(sky_variance), camera)[..., 0]
    variance[..., [0, 3, 5]] += behind[..., None]
    return variance


def variance_coefficients(
    scene: GaussianScene,
    posterior: Posterior,
    camera: Camera,
    time_index: int,
    rendering: Rendering,
    ids: Int[Tensor, " m"],
    config: EigConfig,
) -> Float[Tensor, "m 39"]:
    """S_k = U_k H_k^-1 U_k^T of the Gaussians `ids` as polynomials in the pixel offset, by Cholesky in float64.

    Pivots are kept above the prior's: exact for H = P + (something positive), and a guard where float32 sums are not.
    """
    prior = prior_precision(scene.gaussians, config)
    coefficients = torch.zeros(len(ids), NUM_COEFFICIENTS, device=ids.device)
    inputs = [pinhole(camera), scene_gaussians(scene, time_index, rendering.projection), as_warp(ids.int(), wp.int32)]
    inputs += [as_warp(tensor, wp.float32) for tensor in (posterior.precision, prior, coefficients)]
    launch(_variance_coefficients, len(ids), inputs, ids.device)
    return coefficients


def information_gain(scaled: Float[Tensor, "*hw 6"]) -> Float[Tensor, "*hw"]:
    """1/2 log det(I_3 + A) of upper triangles A, by Cholesky pivots, which are >= 1 for every positive A."""
    a00, a01, a02, a11, a12, a22 = scaled.double().unbind(-1)
    p0 = (1.0 + a00).clamp_min(1.0)
    p1 = (1.0 + a11 - a01 * a01 / p0).clamp_min(1.0)
    l21 = a12 - a01 * a02 / p0
    p2 = (1.0 + a22 - a02 * a02 / p0 - l21 * l21 / p1).clamp_min(1.0)
    return 0.5 * (p0.log() + p1.log() + p2.log()).float()


@wp.func
def cholesky(precision: wp.array2d(dtype=float), prior: wp.array2d(dtype=float), k: int) -> mat13d:
    """R with H_k = R^T R in float64; only the upper triangle means anything."""
    R = mat13d()
    n = prior.shape[1]
    if precision.shape[1] == 13:
        for i in range(n):
            R[i, i] = wp.sqrt(wp.float64(precision[k, i]))
        return R
    slot = wp.int32(0)
    for i in range(n):
        for j in range(i, n):
            R[i, j] = wp.float64(precision[k, slot])
            slot += 1
    for i in range(n):
        pivot = wp.sqrt(wp.max(R[i, i], wp.float64(prior[k, i])))
        row = R[i] / pivot
        row[i] = pivot
        R[i] = row
        for j in range(i + 1, n):
            R[j] = R[j] - row[j] * row
    return R


@wp.kernel(enable_backward=False)
def _variance_coefficients(
    first: int,
    camera: Pinhole,
    scene: SceneGaussians,
    ids: wp.array(dtype=int),
    precision: wp.array2d(dtype=float),
    prior: wp.array2d(dtype=float),
    coefficients: wp.array2d(dtype=float),
):
    """One thread per Gaussian: X = R^-T U^T with U in offset form, S = X^T X. Bounds read from arrays do not unroll."""
    thread = first + wp.tid()
    k = ids[thread]
    W = offset_block(geometry_block(camera, scene, k), scene.conics[k])
    slopes = point_slopes(scene, k)
    slopes[0] = slopes[0] / scene.opacities[k]
    R = cholesky(precision, prior, k)
    X = mat13x9d()
    S = mat99d()
    for i in range(prior.shape[1]):
        row = vec9d()
        if i < 9:
            for column in range(5):
                row[1 + column] = wp.float64(W[column, i])
        elif i == 9:
            row[0] = wp.float64(slopes[0])
        else:
            row[i - 4] = wp.float64(slopes[i - 9])
        for m in range(i):
            row -= R[m, i] * X[m]
        row = row / R[i, i]
        X[i] = row
        S += wp.outer(row, row)
    for i in range(6):
        for j in range(6):
            at = quartic_slot(i, j)
            coefficients[thread, at] = coefficients[thread, at] + float(S[i, j])
        for c in range(3):
            coefficients[thread, 15 + 6 * c + i] = float(S[i, 6 + c])
    slot = wp.int32(33)
    for c in range(3):
        for e in range(3):
            if e >= c:
                coefficients[thread, slot] = float(S[6 + c, 6 + e])
                slot += 1


@wp.func
def quartic_of(coefficients: wp.array2d(dtype=float), thread: int) -> mat55:
    """The degree-4 polynomial with entry [j, i] for x^i y^j."""
    result = mat55()
    for j in range(5):
        for i in range(5):
            if i + j < 5:
                result[j, i] = coefficients[thread, 5 * j - (j * (j - 1)) // 2 + i]
    return result


@wp.func
def cross_of(coefficients: wp.array2d(dtype=float), thread: int) -> mat39:
    """The three degree-2 polynomials with entry [j, 3 i + c] for x^i y^j in channel c."""
    result = mat39()
    for j in range(3):
        for i in range(3):
            if i + j < 3:
                for c in range(3):
                    result[j, 3 * i + c] = coefficients[thread, 15 + 6 * c + 3 * j - (j * (j - 1)) // 2 + i]
    return result


@wp.kernel(enable_backward=False)
def _pixel_variance(
    first_block: int,
    splats: Splats,
    transmittance: wp.array2d(dtype=float),
    remaining: wp.array2d(dtype=wp.vec3),
    row_of_gaussian: wp.array(dtype=int),
    coefficients: wp.array2d(dtype=float),
    variance: wp.array2d(dtype=vec6),
):
    """Walks a block front to back as pass 1 does and adds g_c^T S_k g_c' to its pixels."""
    corner = block_corner(splats, first_block + wp.tid())
    x_end = wp.min(corner[0] + splats.block_px, splats.width)
    y_end = wp.min(corner[1] + splats.block_px, splats.height)
    alive = count_alive(transmittance, corner[0], corner[1], x_end, y_end)
    tile = (corner[1] // splats.tile_size) * splats.tiles_x + corner[0] // splats.tile_size
    for entry in range(splats.offsets[tile], splats.offsets[tile + 1]):
        if alive == 0:
            break
        k = splats.gaussian_ids[entry]
        mean = splats.means2d[k]
        conic = splats.conics[k]
        opacity = splats.opacities[k]
        rgb = splats.rgb[k]
        edge = reach(opacity)
        rows = rows_of(mean, conic, edge, corner[1], y_end)
        own_row = row_of_gaussian[k]
        color = vec6()
        for i in range(6):
            color[i] = coefficients[own_row, 33 + i]
        quartic = quartic_of(coefficients, own_row)
        cross = cross_of(coefficients, own_row)
        for row in range(rows[0], rows[1]):
            dy = float(row) + 0.5 - mean[1]
            columns = columns_of(mean, conic, edge, dy, corner[0], x_end)
            y2 = dy * dy
            p = vec5(1.0, -dy, y2, -y2 * dy, y2 * y2) * quartic
            r = wp.vec3(1.0, -dy, y2) * cross
            for column in range(columns[0], columns[1]):
                before = transmittance[row, column]
                if before > 0.0:
                    dx = float(column) + 0.5 - mean[0]
                    raw = opacity * wp.exp(-0.5 * (conic[0] * dx * dx + 2.0 * conic[1] * dx * dy + conic[2] * dy * dy))
                    alpha = wp.min(ALPHA_CAP, raw)
                    if alpha >= ALPHA_FLOOR:
                        after = before * (1.0 - alpha)
                        if after <= TRANSMITTANCE_FLOOR:
                            transmittance[row, column] = -before
                            alive -= 1
                        else:
                            weight = alpha * before
                            rest = remaining[row, column] - weight * rgb
                            remaining[row, column] = rest
                            transmittance[row, column] = after
                            V = weight * weight * color
                            if raw < ALPHA_CAP:
                                d = alpha * (before * rgb - rest / (1.0 - alpha))
                                x = -dx
                                q = p[0] + x * (p[1] + x * (p[2] + x * (p[3] + x * p[4])))
                                h = weight * wp.vec3(
                                    r[0] + x * (r[3] + x * r[6]),
                                    r[1] + x * (r[4] + x * r[7]),
                                    r[2] + x * (r[5] + x * r[8]),
                                )
                                V += vec6(
                                    d[0] * (q * d[0] + 2.0 * h[0]),
                                    q * d[0] * d[1] + d[0] * h[1] + d[1] * h[0],
                                    q * d[0] * d[2] + d[0] * h[2] + d[2] * h[0],
                                    d[1] * (q * d[1] + 2.0 * h[1]),
                                    q * d[1] * d[2] + d[1] * h[2] + d[2] * h[1],
                                    d[2] * (q * d[2] + 2.0 * h[2]),
                                )
                            variance[row, column] = variance[row, column] + V
