"""Pass 2: expected information gain of every pixel of a view, in nats.

V_p = sum_k g_c^T S_k g_c' + (T_p^2 Var_sky + D_p) I_3 with S_k = U_k H_k^-1 U_k^T and the discrepancy
D_p = sum_k w_pk D_k + T_p D_sky; EIG(p) = 1/2 log det(I_3 + V_p / sigma^2), sigma the sensor's noise.
A Gaussian's part of V_p is a polynomial in the whitened pixel offset: `eig.variance_polynomials` for diffuse colours,
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
from faithfusion.eig.moments import BEHIND, BEHIND_BUFFERS, BEHIND_LOAD
from faithfusion.eig.posterior import Posterior
from faithfusion.eig.variance_polynomials import variance_coefficients
from faithfusion.render.render_view import render_view
from faithfusion.render.splats import Splats, num_blocks, splats_of
from faithfusion.render.walk import tile_walk
from faithfusion.scene.sky import sky_background
from faithfusion.types import Camera, EigMap, GaussianScene, Rendering, Sky
from faithfusion.utils.errors import InputError
from faithfusion.utils.warp_launch import as_warp, launch

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
    Raises FloatingPointError if a gain is not finite, and InputError if the posterior belongs to a scene with another
    number of Gaussians or colour coefficients.
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
        if not bool(torch.isfinite(gain).all()):
            bad = int((~torch.isfinite(gain)).sum())
            raise FloatingPointError(f"time {time_index}: the gain of {bad} pixels is not finite; is the scene sound?")
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
    variance = torch.empty(camera.height, camera.width, 6, device=touched.device)
    splats = splats_of(rendering.projection, rendering.tiles, camera.height, camera.width)
    images = VarianceImages()
    images.color, images.variance = as_warp(rendering.color, wp.vec3), as_warp(variance, vec6)
    inputs = [splats, images, as_warp(rows, wp.int32)]
    inputs += [as_warp(tensor, wp.float32) for tensor in (coefficients, posterior.discrepancy)]
    launch(_pixel_variance, num_blocks(splats, touched.device), inputs, touched.device)
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

    It is computed from Cholesky pivots in float64, which are >= 1 for every positive V; float32 noise below is raised
    to 1, what is not a number stays so.
    """
    gain, mean_variance = torch.empty_like(isotropic), torch.empty_like(isotropic)
    inputs = [as_warp(variance, vec6), as_warp(isotropic, wp.float32), noise_std**-2]
    inputs += [as_warp(image, wp.float32) for image in (gain, mean_variance)]
    launch(_information_gain, isotropic.numel(), inputs, isotropic.device)
    return gain, mean_variance


@wp.func
def at_least_one(pivot: wp.float64) -> wp.float64:
    """The pivot, or 1 if it is less; NaN stays NaN."""
    if pivot < wp.float64(1.0):
        return wp.float64(1.0)
    return pivot


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
    p0 = at_least_one(one + scale * wp.float64(V[0] + more))
    p1 = at_least_one(one + scale * wp.float64(V[3] + more) - a01 * a01 / p0)
    l21 = scale * wp.float64(V[4]) - a01 * a02 / p0
    p2 = at_least_one(one + scale * wp.float64(V[5] + more) - a02 * a02 / p0 - l21 * l21 / p1)
    gain[row, column] = 0.5 * float(wp.log(p0 * p1 * p2))
    diagonal = wp.max(V[0] + more, 0.0) + wp.max(V[3] + more, 0.0) + wp.max(V[5] + more, 0.0)
    mean_variance[row, column] = diagonal / 3.0


@wp.struct
class VarianceImages:
    """The rendered colour, and V_p, which is written."""

    color: wp.array2d(dtype=wp.vec3)
    variance: wp.array2d(dtype=vec6)


_VARIANCE = tile_walk(
    buffers=BEHIND_BUFFERS + " float V[6][ROOM] = {};",
    load=BEHIND_LOAD,
    begin="""
        const float unexplained = discrepancy.data[k];
        const float* own = coefficients.data + (long long)row_of_gaussian.data[k] * coefficients.shape[1];
        if (entry + 4 < last_entry) {
            const int next_row = row_of_gaussian.data[splats.gaussian_ids.data[entry + 4]];
            const float* next = coefficients.data + (long long)next_row * coefficients.shape[1];
            fetch(next), fetch(next + 16), fetch(next + 32);
        }
        const float* colors = own + 33;
    """,
    row="""
        // the polynomials in this row: of degree 4 in u for d d^T, and of degree 2 for every channel of w d
        const float p0 = own[0] + v * (own[5] + v * (own[9] + v * (own[12] + v * own[14])));
        const float p1 = own[1] + v * (own[6] + v * (own[10] + v * own[13]));
        const float p2 = own[2] + v * (own[7] + v * own[11]), p3 = own[3] + v * own[8], p4 = own[4];
        float r[9];
        for (int c = 0; c < 3; ++c) {
            const float* of = own + 15 + 6 * c;
            r[3 * c] = of[0] + v * (of[3] + v * of[5]), r[3 * c + 1] = of[1] + v * of[4], r[3 * c + 2] = of[2];
        }
    """,
    pixels=BEHIND
    + """
        const lanes q = p0 + u * (p1 + u * (p2 + u * (p3 + u * p4)));
        const lanes d[] = {d_red, d_green, d_blue};
        lanes half[3]; // q d_c / 2 + h_c, so that V gains d_c half_e + d_e half_c
        for (int c = 0; c < 3; ++c) {
            half[c] = 0.5f * q * d[c] + weight * (r[3 * c] + u * (r[3 * c + 1] + u * r[3 * c + 2]));
        }
        const lanes squared = weight * weight, alone = weight * unexplained;
        #pragma unroll
        for (int c = 0; c < 3; ++c) {
            #pragma unroll
            for (int e = c; e < 3; ++e) {
                const int n = c + e + (c > 0);
                const lanes gained = squared * colors[n] + d[c] * half[e] + d[e] * half[c] + (c == e ? alone : zero);
                store(V[n] + i, load(V[n] + i) + gained);
            }
        }
    """,
    finish="""
        #pragma unroll
        for (int n = 0; n < 6; ++n) images.variance.data[at][n] = V[n][i];
    """,
)


@wp.func_native(_VARIANCE)
def _variance_of_block(
    block: int,
    splats: Splats,
    images: VarianceImages,
    row_of_gaussian: wp.array(dtype=int),
    coefficients: wp.array2d(dtype=float),
    discrepancy: wp.array(dtype=float),
): ...


@wp.kernel(enable_backward=False)
def _pixel_variance(
    first_block: int,
    splats: Splats,
    images: VarianceImages,
    row_of_gaussian: wp.array(dtype=int),
    coefficients: wp.array2d(dtype=float),
    discrepancy: wp.array(dtype=float),
):
    """Sums g_c^T S_k g_c' + w D_k I_3 over the Gaussians of every pixel."""
    _variance_of_block(first_block + wp.tid(), splats, images, row_of_gaussian, coefficients, discrepancy)
