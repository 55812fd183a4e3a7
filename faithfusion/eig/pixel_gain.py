"""Pass 2: expected information gain of every pixel of a view, in nats.

V_p = sum_k g_c^T S_k g_c' + (T_p^2 Var_sky + D_p) I_3 with S_k = U_k H_k^-1 U_k^T and the discrepancy
D_p = sum_k w_pk D_k + T_p D_sky; EIG(p) = 1/2 log det(I_3 + V_p / sigma^2), sigma the sensor's noise.
As in pass 1, v is alpha times a quadratic polynomial in the pixel offset, so a Gaussian's part of V_p is a polynomial
with 39 coefficients: 15 of degree 4 for alpha^2 d d^T, 3 x 6 of degree 2 for alpha w d, and 6 numbers for w^2.
Diffuse colours get them from the Warp kernel here, spherical harmonics from `eig.dense_blocks`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from faithfusion.eig.config import EigConfig
from faithfusion.eig.dense_blocks import block_size, dense_coefficients, triangle_width
from faithfusion.eig.jacobian import (
    Pinhole,
    SceneGaussians,
    geometry_block,
    num_scene,
    offset_block,
    pinhole,
    point_slopes,
    scene_gaussians,
)
from faithfusion.eig.moments import count_alive, mat39, mat55, num_blocks, quartic_slot, splats_of, vec5
from faithfusion.eig.posterior import Posterior, prior_precision
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
mat44 = wp.types.matrix(shape=(4, 4), dtype=float)
mat45 = wp.types.matrix(shape=(4, 5), dtype=float)
vec13d = wp.types.vector(length=13, dtype=wp.float64)
mat13d = wp.types.matrix(shape=(13, 13), dtype=wp.float64)


def eig_map(
    scene: GaussianScene,
    posterior: Posterior,
    camera: Camera,
    time_index: int,
    config: EigConfig,
    *,
    roots: Float[Tensor, "n 91"] | None = None,
) -> tuple[EigMap, Rendering]:
    """EIG of observing every pixel of `camera` at `time_index`, and the rendering it belongs to.

    A pixel without Gaussians under an unseen sky direction gets the prior variance of a colour. No gradients. Whoever
    wants many views of one posterior passes its `posterior_roots`; otherwise they are made for what the view shows.
    Raises InputError if the posterior belongs to a scene with another number of Gaussians or colour coefficients.
    """
    if posterior.precision.shape[0] != scene.gaussians.num:
        raise InputError("posterior", f"{posterior.precision.shape[0]} Gaussians", f"the scene's {scene.gaussians.num}")
    size, expected = block_size(posterior.precision), num_scene(scene.gaussians.colors.shape[1])
    if size != expected:
        raise InputError("posterior", f"{size} parameters per Gaussian", f"the scene's {expected}")
    camera = camera.to(scene.gaussians.means.device)
    with torch.no_grad():
        rendering = render_view(scene, camera, time_index)
        variance = predictive_variance(scene, posterior, camera, time_index, rendering, config, roots=roots)
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
    *,
    roots: Float[Tensor, "n 91"] | None = None,
) -> Float[Tensor, "h w 6"]:
    """Upper triangle (rr, rg, rb, gg, gb, bb) of V_p, colour units squared; float32 noise can make it slightly < 0."""
    touched = torch.nonzero(rendering.projection.radii).flatten()
    rows = torch.zeros(scene.gaussians.num, dtype=torch.int32, device=touched.device)
    rows[touched] = torch.arange(len(touched), dtype=torch.int32, device=touched.device)
    view = (scene, posterior, camera, time_index, rendering)
    coefficients = variance_coefficients(*view, touched, config, roots=roots)
    variance = torch.zeros(camera.height, camera.width, 6, device=touched.device)
    splats = splats_of(rendering)
    inputs = [splats, as_warp(torch.ones_like(rendering.alpha), wp.float32)]
    inputs += [as_warp(rendering.color.detach().clone(), wp.vec3), as_warp(rows, wp.int32)]
    inputs += [as_warp(tensor, wp.float32) for tensor in (coefficients, posterior.discrepancy)]
    inputs.append(as_warp(variance, vec6))
    launch(_pixel_variance, num_blocks(splats), inputs, touched.device)
    through = 1.0 - rendering.alpha
    sky = torch.stack([posterior.sky_precision.reciprocal(), posterior.sky_discrepancy], -1)
    behind = sky_background(Sky(F.pad(sky, (0, 1))), camera)
    variance[..., [0, 3, 5]] += (through.square() * behind[..., 0] + through * behind[..., 1])[..., None]
    return variance


def variance_coefficients(
    scene: GaussianScene,
    posterior: Posterior,
    camera: Camera,
    time_index: int,
    rendering: Rendering,
    ids: Int[Tensor, " m"],
    config: EigConfig,
    *,
    roots: Float[Tensor, "n 91"] | None = None,
) -> Float[Tensor, "m 39"]:
    """S_k = U_k H_k^-1 U_k^T of the Gaussians `ids` as polynomials in the pixel offset."""
    prior = prior_precision(scene.gaussians, config)
    if scene.gaussians.colors.shape[1] > 1:
        view = (scene, camera, time_index, rendering.projection)
        return dense_coefficients(*view, posterior.precision, prior, ids, chunk_size=config.chunk_size)
    own_rows = ids.int() if roots is not None else torch.arange(len(ids), dtype=torch.int32, device=ids.device)
    if roots is None:
        roots = _roots_of(posterior, prior, ids)
    coefficients = torch.zeros(len(ids), NUM_COEFFICIENTS, device=ids.device)
    inputs = [pinhole(camera), scene_gaussians(scene, time_index, rendering.projection), as_warp(ids.int(), wp.int32)]
    inputs += [as_warp(roots, wp.float32), as_warp(own_rows, wp.int32), as_warp(coefficients, wp.float32)]
    launch(_variance_coefficients, len(ids), inputs, ids.device)
    return coefficients


def posterior_roots(scene: GaussianScene, posterior: Posterior, config: EigConfig) -> Float[Tensor, "n 91"] | None:
    """L_k with H_k^-1 = L_k^T L_k, lower triangles row by row, for `eig_map`; None for view-dependent colours.

    By Cholesky in float64. Pivots are kept above the prior's: exact for H = P + (something positive), and a guard where
    float32 sums are not.
    """
    if scene.gaussians.colors.shape[1] > 1:
        return None
    everything = torch.arange(scene.gaussians.num, device=posterior.precision.device)
    return _roots_of(posterior, prior_precision(scene.gaussians, config), everything)


def _roots_of(posterior: Posterior, prior: Float[Tensor, "n 13"], ids: Int[Tensor, " m"]) -> Float[Tensor, "m 91"]:
    roots = torch.empty(len(ids), triangle_width(prior.shape[1]), device=ids.device)
    arrays = [as_warp(tensor, wp.float32) for tensor in (posterior.precision, prior, roots)]
    launch(_invert, len(ids), [as_warp(ids.int(), wp.int32), *arrays], ids.device)
    return roots


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
def _invert(
    first: int,
    ids: wp.array(dtype=int),
    precision: wp.array2d(dtype=float),
    prior: wp.array2d(dtype=float),
    roots: wp.array2d(dtype=float),
):
    """One thread per Gaussian: the lower triangle L of R^-T, row by row: H_k^-1 = L^T L. Bounds read from arrays do
    not unroll."""
    thread = first + wp.tid()
    n = prior.shape[1]
    R = cholesky(precision, prior, ids[thread])
    L = mat13d()
    slot = wp.int32(0)
    for i in range(n):
        row = vec13d()
        row[i] = wp.float64(1.0)
        for m in range(i):
            row -= R[m, i] * L[m]
        row = row / R[i, i]
        L[i] = row
        for j in range(i + 1):
            roots[thread, slot] = float(row[j])
            slot += 1


@wp.kernel(enable_backward=False)
def _variance_coefficients(
    first: int,
    camera: Pinhole,
    scene: SceneGaussians,
    ids: wp.array(dtype=int),
    roots: wp.array2d(dtype=float),
    rows: wp.array(dtype=int),
    coefficients: wp.array2d(dtype=float),
):
    """One thread per Gaussian: X = L U^T with U in offset form, S = X^T X.

    The nine geometric rows of X act on x, x^2, y, x y, y^2 alone; only the last four (opacity, colours) on the constant
    and the colours too.
    """
    thread = first + wp.tid()
    k = ids[thread]
    W = offset_block(geometry_block(camera, scene, k), scene.conics[k])
    slopes = point_slopes(scene, k)
    slopes[0] = slopes[0] / scene.opacities[k]
    own = rows[thread]
    U = wp.transpose(W)
    S = mat55()
    points = mat44()
    cross = mat45()
    slot = wp.int32(0)
    for i in range(13):
        row = vec5()
        for m in range(wp.min(i + 1, 9)):
            row += roots[own, slot + m] * U[m]
        S += wp.outer(row, row)
        if i >= 9:
            ends = wp.vec4()
            for m in range(i - 8):
                ends[m] = roots[own, slot + 9 + m] * slopes[m]
            cross += wp.outer(ends, row)
            points += wp.outer(ends, ends)
        slot += i + 1
    coefficients[thread, 0] = points[0, 0]
    for j in range(5):
        at = quartic_slot(0, 1 + j)
        coefficients[thread, at] = coefficients[thread, at] + 2.0 * cross[0, j]
        for i in range(5):
            at = quartic_slot(1 + i, 1 + j)
            coefficients[thread, at] = coefficients[thread, at] + S[i, j]
        for c in range(3):
            coefficients[thread, 16 + 6 * c + j] = cross[1 + c, j]
    end = wp.int32(33)
    for c in range(3):
        coefficients[thread, 15 + 6 * c] = points[0, 1 + c]
        for e in range(3):
            if e >= c:
                coefficients[thread, end] = points[1 + c, 1 + e]
                end += 1


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
    discrepancy: wp.array(dtype=float),
    variance: wp.array2d(dtype=vec6),
):
    """Walks a block front to back as pass 1 does and adds g_c^T S_k g_c' + w D_k I_3 to its pixels."""
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
        unexplained = discrepancy[k]
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
                            V += weight * unexplained * vec6(1.0, 0.0, 0.0, 1.0, 0.0, 1.0)
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
