"""S_k = U_k H_k^-1 U_k^T of a view as polynomials in the whitened pixel offset, for pass 2 (`eig.pixel_gain`).

As in pass 1, the change of log alpha is a quadratic polynomial in the offset, so a Gaussian's part of V_p is a
polynomial with 39 coefficients: 15 of degree 4 for d d^T, 3 x 6 of degree 2 for w d, and 6 numbers for w^2.
"""

# Signatures of Warp kernels hold values where Python has types.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

from string import Template

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from faithfusion.eig.dense_blocks import (
    PIVOT_TOLERANCE,
    dense_coefficients,
    dense_precision,
    guarded_cholesky,
    triangle_width,
)
from faithfusion.eig.jacobian import (
    Pinhole,
    SceneGaussians,
    geometry_block,
    mat59,
    pinhole,
    point_slopes,
    scene_gaussians,
)
from faithfusion.eig.moments import ROW_OF_EIGHT, quadratic_slots
from faithfusion.eig.posterior import Posterior, prior_precision
from faithfusion.types import Camera, GaussianScene, Rendering
from faithfusion.utils.warp_launch import as_warp, launch

NUM_COEFFICIENTS = 39
LOWEST_PIVOT = wp.constant(wp.float64(1.0 - PIVOT_TOLERANCE))

vec13d = wp.types.vector(length=13, dtype=wp.float64)
mat13d = wp.types.matrix(shape=(13, 13), dtype=wp.float64)


def variance_coefficients(
    scene: GaussianScene,
    posterior: Posterior,
    camera: Camera,
    time_index: int,
    rendering: Rendering,
    ids: Int[Tensor, " m"],
    *,
    roots: Float[Tensor, "n 91"] | None = None,
) -> Float[Tensor, "m 39"]:
    """S_k = U_k H_k^-1 U_k^T of the Gaussians `ids` as polynomials in the whitened pixel offset."""
    config = posterior.config
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


def posterior_roots(scene: GaussianScene, posterior: Posterior) -> Float[Tensor, "n 91"] | None:
    """L_k with H_k^-1 = L_k^T L_k, lower triangles row by row, for `eig_map`; None for view-dependent colours.

    They are computed by Cholesky's method in float64. Blocks that are not P + (something positive), because they were
    summed in float32, are mended first (`dense_blocks.guarded_cholesky`).
    """
    if scene.gaussians.colors.shape[1] > 1:
        return None
    everything = torch.arange(scene.gaussians.num, device=posterior.precision.device)
    return _roots_of(posterior, prior_precision(scene.gaussians, posterior.config), everything)


def _roots_of(posterior: Posterior, prior: Float[Tensor, "n 13"], ids: Int[Tensor, " m"]) -> Float[Tensor, "m 91"]:
    roots = torch.empty(len(ids), triangle_width(prior.shape[1]), device=ids.device)
    is_sound = torch.empty(len(ids), dtype=torch.int32, device=ids.device)
    arrays = [as_warp(tensor, wp.float32) for tensor in (posterior.precision, prior, roots)]
    launch(_invert, len(ids), [as_warp(ids.int(), wp.int32), *arrays, as_warp(is_sound, wp.int32)], ids.device)
    broken = torch.nonzero(is_sound == 0).flatten()
    if len(broken):
        of = ids[broken].long()
        factor = guarded_cholesky(dense_precision(posterior.precision[of].double()), prior[of].double())
        inverse = torch.linalg.solve_triangular(factor, torch.eye(factor.shape[1]).to(factor), upper=False)
        row, column = torch.tril_indices(*inverse.shape[1:], device=inverse.device)
        roots[broken] = inverse[:, row, column].float()
    return roots


@wp.func
def cholesky(precision: wp.array2d(dtype=float), prior: wp.array2d(dtype=float), k: int) -> mat13d:
    """The R with H_k = R^T R in float64, NaN from where H_k is not positive. Only its upper triangle has a meaning."""
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
        pivot = wp.sqrt(R[i, i])
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
    is_sound: wp.array(dtype=int),
):
    """One thread per Gaussian writes the lower triangle L of R^-T row by row, so that H_k^-1 = L^T L, and whether no
    pivot is below the prior's. The loops' bounds are read from arrays, because Warp would unroll constant ones."""
    thread = first + wp.tid()
    n = prior.shape[1]
    R = cholesky(precision, prior, ids[thread])
    L = mat13d()
    slot = wp.int32(0)
    sound = wp.int32(1)
    for i in range(n):
        if not (R[i, i] * R[i, i] >= LOWEST_PIVOT * wp.float64(prior[ids[thread], i])):
            sound = wp.int32(0)
        row = vec13d()
        row[i] = wp.float64(1.0)
        for m in range(i):
            row -= R[m, i] * L[m]
        row = row / R[i, i]
        L[i] = row
        for j in range(i + 1):
            roots[thread, slot] = float(row[j])
            slot += 1
    is_sound[thread] = sound


_COEFFICIENTS = ROW_OF_EIGHT + Template("""
const int slot_of[6][6] = $slots; // of the product of two of 1, u, u^2, v, u v, v^2
row8 U[9]; // five numbers each
for (int m = 0; m < 9; ++m) {
    for (int j = 0; j < 8; ++j) U[m][j] = j < 5 ? W.data[j][m] : 0.0f;
}
row8 S[5] = {}, cross[4] = {};
float points[4][4] = {};
const float* L = roots.data + (long long)root * roots.shape[1];
for (int i = 0; i < 13; L += ++i) {
    row8 row = {};
    for (int m = 0; m < (i < 9 ? i + 1 : 9); ++m) row += L[m] * U[m];
    for (int j = 0; j < 5; ++j) S[j] += row[j] * row;
    if (i < 9) continue;
    float ends[4] = {};
    for (int m = 0; m < i - 8; ++m) ends[m] = L[9 + m] * slopes[m];
    for (int c = 0; c < 4; ++c) {
        cross[c] += ends[c] * row;
        for (int e = 0; e < 4; ++e) points[c][e] += ends[c] * ends[e];
    }
}
float* to = coefficients.data + (long long)thread * coefficients.shape[1];
for (int n = 0; n < 15; ++n) to[n] = 0.0f;
to[0] = points[0][0];
for (int j = 0; j < 5; ++j) {
    to[slot_of[0][1 + j]] += 2.0f * cross[0][j];
    for (int i = 0; i < 5; ++i) to[slot_of[1 + i][1 + j]] += S[j][i];
}
for (int c = 0, n = 33; c < 3; ++c) {
    to[15 + 6 * c] = points[0][1 + c];
    for (int j = 0; j < 5; ++j) to[16 + 6 * c + j] = cross[1 + c][j];
    for (int e = c; e < 3; ++e) to[n++] = points[1 + c][1 + e];
}
""").substitute(slots=quadratic_slots())


@wp.func_native(_COEFFICIENTS)
def _coefficients_of(
    thread: int,
    W: mat59,
    slopes: wp.vec4,
    roots: wp.array2d(dtype=float),
    root: int,
    coefficients: wp.array2d(dtype=float),
): ...


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
    """One thread per Gaussian computes X = L U^T, then S = X^T X.

    The nine geometric rows of X act on u, u^2, v, u v, v^2 alone; only the last four (opacity, colours) on the constant
    and the colours too.
    """
    thread = first + wp.tid()
    k = ids[thread]
    _coefficients_of(
        thread, geometry_block(camera, scene, k), point_slopes(scene, k), roots, rows[thread], coefficients
    )
