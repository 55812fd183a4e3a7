"""Pass 2: expected information gain of every pixel of a view, in nats.

V_p = sum_k g_c^T S_k g_c' + (T_p^2 Var_sky + D_p) I_3 with S_k = U_k H_k^-1 U_k^T and the discrepancy
D_p = sum_k w_pk D_k + T_p D_sky; EIG(p) = 1/2 log det(I_3 + V_p / sigma^2), sigma the sensor's noise.
A Gaussian's part of V_p is a polynomial in the pixel offset: `eig.variance_polynomials` for diffuse colours,
`eig.dense_blocks` for spherical harmonics.
"""

# Signatures of Warp kernels hold values where Python has types.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

import torch
import torch.nn.functional as F
import warp as wp
from jaxtyping import Float
from torch import Tensor

from faithfusion.eig.dense_blocks import block_size
from faithfusion.eig.jacobian import num_scene
from faithfusion.eig.moments import count_alive, mat39, mat55, num_blocks, splats_of, vec5
from faithfusion.eig.posterior import Posterior
from faithfusion.eig.variance_polynomials import variance_coefficients
from faithfusion.render.render_view import render_view
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

vec6 = wp.types.vector(length=6, dtype=float)


def eig_map(
    scene: GaussianScene,
    posterior: Posterior,
    camera: Camera,
    time_index: int,
    *,
    roots: Float[Tensor, "n 91"] | None = None,
) -> tuple[EigMap, Rendering]:
    """EIG of observing every pixel of `camera` at `time_index`, and the rendering it belongs to.

    A pixel without Gaussians under an unseen sky direction gets the prior variance of a colour. There are no
    gradients. Whoever wants many views of one posterior passes its `posterior_roots`; otherwise they are made for what
    the view shows.
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
        view = (scene, posterior, camera, time_index, rendering)
        variance = gaussian_variance(*view, roots=roots)
        gain, mean_variance = information_gain(
            variance, sky_variance(posterior, camera, rendering), posterior.config.noise_std
        )
    return EigMap(eig_nats=gain, predictive_variance=mean_variance, alpha=rendering.alpha), rendering


def gaussian_variance(
    scene: GaussianScene,
    posterior: Posterior,
    camera: Camera,
    time_index: int,
    rendering: Rendering,
    *,
    roots: Float[Tensor, "n 91"] | None = None,
) -> Float[Tensor, "h w 6"]:
    """The Gaussians' part of V_p, upper triangle (rr, rg, rb, gg, gb, bb), colour units squared; float32 noise can make
    it slightly < 0."""
    touched = torch.nonzero(rendering.projection.radii).flatten()
    rows = torch.zeros(scene.gaussians.num, dtype=torch.int32, device=touched.device)
    rows[touched] = torch.arange(len(touched), dtype=torch.int32, device=touched.device)
    view = (scene, posterior, camera, time_index, rendering)
    coefficients = variance_coefficients(*view, touched, roots=roots)
    variance = torch.zeros(camera.height, camera.width, 6, device=touched.device)
    splats = splats_of(rendering)
    inputs = [splats, as_warp(torch.ones_like(rendering.alpha), wp.float32)]
    inputs += [as_warp(rendering.color.detach().clone(), wp.vec3), as_warp(rows, wp.int32)]
    inputs += [as_warp(tensor, wp.float32) for tensor in (coefficients, posterior.discrepancy)]
    inputs.append(as_warp(variance, vec6))
    launch(_pixel_variance, num_blocks(splats), inputs, touched.device)
    return variance


def sky_variance(posterior: Posterior, camera: Camera, rendering: Rendering) -> Float[Tensor, "h w"]:
    """The sky's part of V_p, which is isotropic: T_p^2 Var_sky + T_p D_sky."""
    through = 1.0 - rendering.alpha
    sky = torch.stack([posterior.sky_precision.reciprocal(), posterior.sky_discrepancy], -1)
    variance, discrepancy, _ = sky_background(Sky(F.pad(sky, (0, 1))), camera).unbind(-1)
    return through.square() * variance + through * discrepancy


def information_gain(
    variance: Float[Tensor, "h w 6"], isotropic: Float[Tensor, "h w"], noise_std: float
) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """1/2 log det(I_3 + V / noise_std^2) and the mean of V's diagonal, with V = `variance` + `isotropic` I_3.

    It is computed from Cholesky pivots in float64, which are >= 1 for every positive V and are kept there.
    """
    gain, mean_variance = torch.empty_like(isotropic), torch.empty_like(isotropic)
    inputs = [as_warp(variance, vec6), as_warp(isotropic, wp.float32), noise_std**-2]
    inputs += [as_warp(image, wp.float32) for image in (gain, mean_variance)]
    launch(_information_gain, isotropic.numel(), inputs, isotropic.device)
    return gain, mean_variance


@wp.kernel(enable_backward=False)
def _information_gain(
    first: int,
    variance: wp.array2d(dtype=vec6),
    isotropic: wp.array2d(dtype=float),
    precision: float,
    gain: wp.array2d(dtype=float),
    mean_variance: wp.array2d(dtype=float),
):
    """One thread per pixel."""
    pixel = first + wp.tid()
    row = pixel // variance.shape[1]
    column = pixel % variance.shape[1]
    V = variance[row, column]
    more = isotropic[row, column]
    one = wp.float64(1.0)
    scale = wp.float64(precision)
    a01 = scale * wp.float64(V[1])
    a02 = scale * wp.float64(V[2])
    p0 = wp.max(one + scale * wp.float64(V[0] + more), one)
    p1 = wp.max(one + scale * wp.float64(V[3] + more) - a01 * a01 / p0, one)
    l21 = scale * wp.float64(V[4]) - a01 * a02 / p0
    p2 = wp.max(one + scale * wp.float64(V[5] + more) - a02 * a02 / p0 - l21 * l21 / p1, one)
    gain[row, column] = 0.5 * float(wp.log(p0 * p1 * p2))
    diagonal = wp.max(V[0] + more, 0.0) + wp.max(V[3] + more, 0.0) + wp.max(V[5] + more, 0.0)
    mean_variance[row, column] = diagonal / 3.0


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
