"""Pass 1: second moments of the screen-space colour gradients, per Gaussian.

A Gaussian touches the image through u = (mean2d 2, conic 3, opacity 1) and its colour 3. With alpha a, transmittance T
in front and light B from behind, channel c of a pixel has the gradient g_c = (d_c v, a T e_c) in R^9 with
d_c = T col_c - B_c / (1 - a), v = da/du. Wanted: M = sum_p sum_c g_c g_c^T.

v is `a` times a quadratic polynomial in the offset (x, y) = mean2d - pixel, so M follows from 34 moments per Gaussian:
15 of sum |d|^2 a^2 x^i y^j (i + j <= 4), 3 x 6 of sum a T d_c a x^i y^j (i + j <= 2), and sum (a T)^2. Powers of x run
fastest.
"""

# Signatures of Warp kernels hold values where Python has types.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from faithfusion.render.warp_kernels import (
    ALPHA_CAP,
    ALPHA_FLOOR,
    TRANSMITTANCE_FLOOR,
    Splats,
    block_corner,
    columns_of,
    number_slots,
    reach,
    rows_of,
)
from faithfusion.render.warp_launch import as_warp, launch
from faithfusion.types import Projection, Rendering

SQUARES, SEEN, MISFIT = 33, 34, 35  # places of sum (a T)^2, sum a T and sum a T r^2
NUM_MOMENTS = 36
QUADRATIC_POWERS = ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (0, 2))  # (i, j) of x^i y^j, as stored

SQUARES_SLOT = wp.constant(SQUARES)
POWERS_X = wp.constant(wp.types.vector(length=6, dtype=int)(*(i for i, _ in QUADRATIC_POWERS)))
POWERS_Y = wp.constant(wp.types.vector(length=6, dtype=int)(*(j for _, j in QUADRATIC_POWERS)))

vec5 = wp.types.vector(length=5, dtype=float)
vec9 = wp.types.vector(length=9, dtype=float)
mat55 = wp.types.matrix(shape=(5, 5), dtype=float)
mat39 = wp.types.matrix(shape=(3, 9), dtype=float)


def offset_moments(
    rendering: Rendering,
    pixel_weight: Float[Tensor, "h w"],
    sq_residual: Float[Tensor, "h w"] | None = None,
    *,
    max_entries: int = 2_000_000,
) -> Float[Tensor, "n 36"]:
    """The 34 moments of every Gaussian over the pixels of a view, each of which counts `pixel_weight` >= 0 times.

    Two more columns are plain sums over the pixels that count at all: of the blending weight a T, and of that times
    `sq_residual`.

    On CPU bitwise the same for any number of threads: each (tile, Gaussian) pair sums its own pixels, then each
    Gaussian its pairs in order; at most `max_entries` pairs (144 B each) are held at once, in runs of tiles.
    """
    device = pixel_weight.device
    splats = splats_of(rendering)
    totals = torch.zeros(rendering.projection.means2d.shape[0], NUM_MOMENTS, device=device)
    transmittance = torch.where(pixel_weight > 0, 1.0, -1.0)
    images = [as_warp(transmittance, wp.float32), as_warp(rendering.color.detach().clone(), wp.vec3)]
    residual = torch.zeros_like(pixel_weight) if sq_residual is None else sq_residual
    images += [as_warp(pixel_weight, wp.float32), as_warp(residual, wp.float32)]
    if device.type == "cuda":
        slots, moments = as_warp(rendering.tiles.gaussian_ids, wp.int32), as_warp(totals, wp.float32)
        launch(_accumulate_moments, num_blocks(splats), [0, 0, splats, *images, slots, moments], device)
        return totals
    offsets = rendering.tiles.offsets.tolist()
    for first, last in tile_runs(offsets, max_entries):
        ids = rendering.tiles.gaussian_ids[offsets[first] : offsets[last]]
        slots, starts = private_slots(ids, len(totals))
        per_slot = as_warp(torch.zeros(len(ids), NUM_MOMENTS), wp.float32)
        inputs = [first, offsets[first], splats, *images, as_warp(slots, wp.int32), per_slot]
        launch(_accumulate_moments, last - first, inputs, device)
        launch(_sum_slots, len(totals), [as_warp(starts, wp.int32), per_slot, as_warp(totals, wp.float32)], device)
    return totals


def dense_moments(moments: Float[Tensor, "n 36"], projection: Projection) -> Float[Tensor, "n 9 9"]:
    """M of the module's docstring from the moments, rows in the order mean2d 2, conic 3, opacity 1, colour 3."""
    basis = offset_basis(projection)
    quadratic = moments.new_zeros(len(moments), 6, 6)
    for row, (i, j) in enumerate(QUADRATIC_POWERS):
        for column, (k, m) in enumerate(QUADRATIC_POWERS):
            quadratic[:, row, column] = moments[:, quartic_index(i + k, j + m)]
    cross = basis @ moments[:, 15:33].reshape(-1, 3, 6).mT
    color = moments[:, SQUARES, None, None] * torch.eye(3, device=moments.device)
    upper = torch.cat([basis @ quadratic @ basis.mT, cross], dim=2)
    return torch.cat([upper, torch.cat([cross.mT, color], dim=2)], dim=1)


def offset_basis(projection: Projection) -> Float[Tensor, "n 6 6"]:
    """B with v = a B (1, x, x^2, y, x y, y^2), v = d alpha / d (mean2d, conic, opacity)."""
    a, b, c = projection.conics.unbind(-1)
    basis = a.new_zeros(len(a), 6, 6)
    basis[:, 0, 1], basis[:, 0, 3] = -a, -b
    basis[:, 1, 1], basis[:, 1, 3] = -b, -c
    basis[:, 2, 2], basis[:, 3, 4], basis[:, 4, 5] = -0.5, -1.0, -0.5
    basis[:, 5, 0] = 1.0 / projection.opacities
    return basis


def quartic_index(i: int, j: int) -> int:
    """Position of x^i y^j among the 15 monomials of degree <= 4."""
    return 5 * j - j * (j - 1) // 2 + i


def tile_runs(offsets: list[int], max_entries: int) -> list[tuple[int, int]]:
    """Runs [first, last) of consecutive tiles with at most `max_entries` list entries, or one single larger tile."""
    runs, first = [], 0
    for tile in range(1, len(offsets) - 1):
        if offsets[tile + 1] - offsets[first] > max_entries:
            runs.append((first, tile))
            first = tile
    runs.append((first, len(offsets) - 1))
    return [(begin, end) for begin, end in runs if offsets[end] > offsets[begin]]


def private_slots(gaussian_ids: Int[Tensor, " m"], num: int) -> tuple[Int[Tensor, " m"], Int[Tensor, " num_plus_1"]]:
    """A slot of its own for every tile-list entry, those of Gaussian k at starts[k] : starts[k + 1] in list order."""
    starts = torch.zeros(num + 1, dtype=torch.int32)
    starts[1:] = torch.bincount(gaussian_ids, minlength=num).cumsum(0)
    slots = torch.empty_like(gaussian_ids)
    arrays = [as_warp(tensor, wp.int32) for tensor in (gaussian_ids, starts[:-1].clone(), slots)]
    wp.launch(number_slots, dim=1, inputs=arrays, device="cpu")
    return slots, starts


def splats_of(rendering: Rendering) -> Splats:
    """What was rendered, as the rasteriser's own Warp kernels see it (no copies)."""
    projection, tiles = rendering.projection, rendering.tiles
    splats = Splats()
    splats.means2d, splats.conics = as_warp(projection.means2d, wp.vec2), as_warp(projection.conics, wp.vec3)
    splats.opacities, splats.rgb = as_warp(projection.opacities, wp.float32), as_warp(projection.rgb, wp.vec3)
    splats.depths = as_warp(projection.depths, wp.float32)
    splats.offsets, splats.gaussian_ids = as_warp(tiles.offsets, wp.int32), as_warp(tiles.gaussian_ids, wp.int32)
    splats.height, splats.width = rendering.alpha.shape
    splats.tile_size, splats.tiles_x = tiles.tile_size, tiles.tiles_x
    splats.block_px = 1 if rendering.alpha.device.type == "cuda" else tiles.tile_size
    return splats


def num_blocks(splats: Splats) -> int:
    """Blocks of `block_px` pixels squared that cover the image; on the CPU block i is tile i."""
    return -(-splats.width // splats.block_px) * -(-splats.height // splats.block_px)


@wp.func
def quartic_slot(row: int, column: int) -> int:
    """Position of the product of two quadratic monomials among the 15 of degree <= 4."""
    i = POWERS_X[row] + POWERS_X[column]
    j = POWERS_Y[row] + POWERS_Y[column]
    return 5 * j - (j * (j - 1)) // 2 + i


@wp.func
def count_alive(transmittance: wp.array2d(dtype=float), x: int, y: int, x_end: int, y_end: int) -> int:
    """Pixels of a block that take part: those with a positive transmittance."""
    alive = wp.int32(0)
    for row in range(y, y_end):
        for column in range(x, x_end):
            if transmittance[row, column] > 0.0:
                alive += 1
    return alive


@wp.func
def add_slot(moments: wp.array2d(dtype=float), slot: int, quartic: mat55, cross: mat39, sums: wp.vec3):
    """Adds the moments of a block: quartic[j, i] of x^i y^j, cross[j, 3 i + c] of x^i y^j and channel c, the rest."""
    for j in range(5):
        for i in range(5):
            if i + j < 5:
                wp.atomic_add(moments, slot, 5 * j - (j * (j - 1)) // 2 + i, quartic[j, i])
    for j in range(3):
        for i in range(3):
            if i + j < 3:
                for c in range(3):
                    wp.atomic_add(moments, slot, 15 + 6 * c + 3 * j - (j * (j - 1)) // 2 + i, cross[j, 3 * i + c])
    for i in range(3):
        wp.atomic_add(moments, slot, SQUARES_SLOT + i, sums[i])


@wp.kernel(enable_backward=False)
def _accumulate_moments(
    first_of_band: int,
    first_block: int,
    first_entry: int,
    splats: Splats,
    transmittance: wp.array2d(dtype=float),
    remaining: wp.array2d(dtype=wp.vec3),
    pixel_weight: wp.array2d(dtype=float),
    sq_residual: wp.array2d(dtype=float),
    slots: wp.array(dtype=int),
    moments: wp.array2d(dtype=float),
):
    """Walks a block front to back as the rasteriser does; `remaining` starts as the pixel's colour and ends as B."""
    corner = block_corner(splats, first_block + first_of_band + wp.tid())
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
        quartic = mat55()
        cross = mat39()
        sums = wp.vec3()
        for row in range(rows[0], rows[1]):
            dy = float(row) + 0.5 - mean[1]
            columns = columns_of(mean, conic, edge, dy, corner[0], x_end)
            row_quartic = vec5()
            row_cross = vec9()
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
                            count = pixel_weight[row, column]
                            sums += weight * wp.vec3(count * weight, 1.0, sq_residual[row, column])
                            if raw < ALPHA_CAP:
                                d = alpha * (before * rgb - rest / (1.0 - alpha))
                                x = -dx
                                x2 = x * x
                                wd = count * weight * d
                                row_quartic += count * wp.dot(d, d) * vec5(1.0, x, x2, x2 * x, x2 * x2)
                                row_cross += vec9(
                                    wd[0],
                                    wd[1],
                                    wd[2],
                                    x * wd[0],
                                    x * wd[1],
                                    x * wd[2],
                                    x2 * wd[0],
                                    x2 * wd[1],
                                    x2 * wd[2],
                                )
            y2 = dy * dy
            quartic += wp.outer(vec5(1.0, -dy, y2, -y2 * dy, y2 * y2), row_quartic)
            cross += wp.outer(wp.vec3(1.0, -dy, y2), row_cross)
        if sums[0] > 0.0:
            add_slot(moments, slots[entry - first_entry], quartic, cross, sums)


@wp.kernel(enable_backward=False)
def _sum_slots(
    first: int, starts: wp.array(dtype=int), per_slot: wp.array2d(dtype=float), totals: wp.array2d(dtype=float)
):
    """One thread per Gaussian: adds its slots in order."""
    k = first + wp.tid()
    for slot in range(starts[k], starts[k + 1]):
        for i in range(per_slot.shape[1]):
            totals[k, i] = totals[k, i] + per_slot[slot, i]
