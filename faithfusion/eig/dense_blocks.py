"""Blocks of any size in torch: how precisions are stored, and both passes for view-dependent colours.

With K colour coefficients per channel a Gaussian has D = 10 + 3 K parameters (13, 22, 37, 58). The Warp kernels of
`eig.observe` and `eig.variance_polynomials` hold the sparse 13-parameter block in registers; here U is dense, and at
most `chunk_size` Gaussians are worked on at once. The equations are the same: H += U^T M U, S = U H^-1 U^T.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from faithfusion.eig.jacobian import num_scene, screen_jacobians
from faithfusion.eig.moments import QUADRATIC_POWERS, dense_moments, quartic_index
from faithfusion.types import Camera, GaussianScene, Projection
from faithfusion.utils.errors import InputError

BLOCK_SIZES = tuple(num_scene(num) for num in (1, 4, 9, 16))
PIVOT_TOLERANCE = 1e-4


def triangle_width(size: int) -> int:
    """How many entries the upper triangle of a size x size matrix has."""
    return size * (size + 1) // 2


def block_size(precision: Float[Tensor, "n w"]) -> int:
    """The block size D of stored precisions, which are diagonals (w = D) or triangles (w = D (D + 1) / 2).

    No width of a diagonal (13, 22, 37, 58) is one of a triangle (91, 253, 703, 1711). Raises InputError for any other.
    """
    for size in BLOCK_SIZES:
        if precision.shape[1] in (size, triangle_width(size)):
            return size
    raise InputError("posterior", f"{precision.shape[1]} numbers per Gaussian", "a diagonal or a triangle of a block")


def diagonal_of_triangle(size: int) -> list[int]:
    """Positions of the diagonal in the row-major upper triangle of a size x size matrix."""
    return [row * size - row * (row - 1) // 2 for row in range(size)]


def dense_precision(precision: Float[Tensor, "n w"]) -> Float[Tensor, "n d d"]:
    """The symmetric matrices whose upper triangles or diagonals are stored."""
    size = block_size(precision)
    if precision.shape[1] == size:
        return torch.diag_embed(precision)
    row, column = torch.triu_indices(size, size, device=precision.device)
    slots = torch.zeros(size, size, dtype=torch.int64, device=precision.device)
    slots[row, column] = slots[column, row] = torch.arange(len(row), device=precision.device)
    return precision[:, slots]


@torch.no_grad()
def add_dense_information(
    scene: GaussianScene,
    camera: Camera,
    time_index: int,
    projection: Projection,
    moments: Float[Tensor, "n 36"],
    ids: Int[Tensor, " m"],
    precision: Float[Tensor, "n w"],
    *,
    chunk_size: int,
) -> None:
    """precision += U^T M U in place for the Gaussians `ids` (each at most once) of one view."""
    size = block_size(precision)
    row, column = torch.triu_indices(size, size, device=precision.device)
    for chunk, jacobian in screen_jacobians(scene, camera, time_index, projection, ids, chunk_size):
        half = dense_moments(moments[chunk]) @ jacobian
        if precision.shape[1] == size:
            precision[chunk] += (jacobian * half).sum(1)
        else:
            precision[chunk] += (jacobian.mT @ half)[:, row, column]


@torch.no_grad()
def dense_coefficients(
    scene: GaussianScene,
    camera: Camera,
    time_index: int,
    projection: Projection,
    precision: Float[Tensor, "n w"],
    prior: Float[Tensor, "n d"],
    ids: Int[Tensor, " m"],
    *,
    chunk_size: int,
) -> Float[Tensor, "m 39"]:
    """The polynomials of `variance_polynomials` by dense algebra in float64: X = L^-1 U^T, S = X^T X."""
    parts = []
    for chunk, jacobian in screen_jacobians(scene, camera, time_index, projection, ids, chunk_size):
        rows, screen = precision[chunk].double(), jacobian.double().mT
        if precision.shape[1] == prior.shape[1]:
            X = screen / rows.sqrt()[:, :, None]
        else:
            factor = guarded_cholesky(dense_precision(rows), prior[chunk].double())
            X = torch.linalg.solve_triangular(factor, screen, upper=False)
        parts.append(coefficients_of(X.mT @ X).float())
    return torch.cat(parts)


def coefficients_of(S: Float[Tensor, "m 9 9"]) -> Float[Tensor, "m 39"]:
    """g_c^T S g_c' as polynomials in the whitened pixel offset.

    They are, in this order: S_vv, whose 36 entries fall on 15 monomials of degree <= 4; for every channel the six
    numbers S_vc; and the upper triangle of the colours' own S_cc.
    """
    collect = S.new_zeros(36, 15)
    slots = [quartic_index(i + k, j + m) for i, j in QUADRATIC_POWERS for k, m in QUADRATIC_POWERS]
    collect[range(36), slots] = 1.0
    row, column = torch.triu_indices(3, 3)
    return torch.cat([S[:, :6, :6].flatten(1) @ collect, S[:, 6:, :6].flatten(1), S[:, 6 + row, 6 + column]], 1)


def guarded_cholesky(H: Float[Tensor, "m d d"], prior: Float[Tensor, "m d"]) -> Float[Tensor, "m d d"]:
    """L with H = L L^T, where H is mended first if it is not P + (something positive).

    Exact information is positive, so no pivot of H is below the prior's. Sums in float32 break that where some
    directions are known far better than the prior says (1e8 times in small scenes, 1e6 in random blocks) and others not
    at all, as the harmonics of a colour seen from one side. Raising single pivots would then amplify the rest of the
    block from column to column (random blocks: variances of 1e100). Raising the eigenvalues to 1 in units of the prior
    gives the nearest block in which no direction is known worse than before any image.
    Raises FloatingPointError for blocks that are not finite.
    """
    if not bool(torch.isfinite(H).all()):
        num = int((~torch.isfinite(H)).any(2).any(1).sum())
        raise FloatingPointError(f"the posterior of {num} Gaussians is not finite; is the scene sound?")
    L, failed = torch.linalg.cholesky_ex(H)
    low = L.diagonal(dim1=1, dim2=2).square() < (1.0 - PIVOT_TOLERANCE) * prior
    broken = torch.nonzero((failed > 0) | low.any(1)).flatten()
    if len(broken):
        scale = prior[broken].sqrt()
        values, vectors = torch.linalg.eigh(H[broken] / (scale[:, :, None] * scale[:, None]))
        root = scale[:, :, None] * vectors * values.clamp_min(1.0).sqrt()[:, None]
        R = torch.linalg.qr(root.mT)[1]  # root root^T = R^T R without squaring the condition number
        L[broken] = R.mT * R.diagonal(dim1=1, dim2=2).sign()[:, None]
    return L
