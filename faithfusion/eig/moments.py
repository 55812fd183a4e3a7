"""Pass 1: second moments of the screen-space colour gradients, per Gaussian.

With alpha a, transmittance T in front and light B from behind, channel c of a pixel changes with log a by
d_c = a (T col_c - B_c / (1 - a)) and with the Gaussian's colour by a T. log a is a quadratic polynomial in the whitened
offset (u, v) of the pixel (`render.walk`), and so is its change with any parameter of the Gaussian: the gradient of
channel c is (d_c (1, u, u^2, v, u v, v^2), a T e_c) in R^9, up to the coefficients of `eig.jacobian`. Wanted: M, the
sum over pixels and channels of its outer product.

M follows from 34 moments per Gaussian: 15 of sum |d|^2 u^i v^j (i + j <= 4), 3 x 6 of sum a T d_c u^i v^j
(i + j <= 2), and sum (a T)^2. Powers of u run fastest. Raw pixel offsets would cancel for thin Gaussians; whitened ones
are below 3.4.
"""

# Signatures of Warp kernels hold values where Python has types.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

from collections.abc import Iterator

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from faithfusion.render.splats import Splats, add_slots, blocks_are_tiles, num_blocks, private_slots, splats_of
from faithfusion.render.walk import tile_walk
from faithfusion.types import Rendering
from faithfusion.utils.warp_launch import as_warp, launch

SQUARES, SEEN, MISFIT = 33, 34, 35  # places of sum (a T)^2, sum a T and sum a T r^2
NUM_MOMENTS = 36
QUADRATIC_POWERS = ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (0, 2))  # (i, j) of u^i v^j, as stored


def offset_moments(
    rendering: Rendering,
    pixel_weight: Float[Tensor, "h w"],
    sq_residual: Float[Tensor, "h w"] | None = None,
    *,
    max_entries: int = 2_000_000,
) -> Float[Tensor, "n 36"]:
    """The 34 moments of every Gaussian over the pixels of a view, each of which counts `pixel_weight` >= 0 times.

    Two more columns are plain sums over the pixels that count at all: of the blending weight a T, and of that times
    `sq_residual`. On CPU they are bitwise the same for any number of threads.
    """
    totals = torch.zeros(len(rendering.projection.radii), NUM_MOMENTS, device=pixel_weight.device)
    for starts, parts in moment_parts(rendering, pixel_weight, sq_residual, max_entries=max_entries):
        add_slots(starts, parts, totals)
    return totals


def moment_parts(
    rendering: Rendering,
    pixel_weight: Float[Tensor, "h w"],
    sq_residual: Float[Tensor, "h w"] | None = None,
    *,
    max_entries: int,
) -> Iterator[tuple[Int[Tensor, " n_plus_1"], Float[Tensor, "m 36"]]]:
    """The same in parts, of which starts[k] : starts[k + 1] are Gaussian k's, to be added in their order.

    On CPU each (tile, Gaussian) pair sums its own pixels, and at most `max_entries` pairs (144 B each) are held at
    once, in runs of tiles: a Gaussian has parts in every run that it touches. On CUDA it has one part in all.
    """
    device = pixel_weight.device
    height, width = pixel_weight.shape
    num = len(rendering.projection.radii)
    splats = splats_of(rendering.projection, rendering.tiles, height, width)
    images = ObservedImages()
    images.color, images.pixel_weight = as_warp(rendering.color, wp.vec3), as_warp(pixel_weight, wp.float32)
    residual = torch.zeros_like(pixel_weight) if sq_residual is None else sq_residual
    images.sq_residual = as_warp(residual, wp.float32)
    if not blocks_are_tiles(device):
        totals = torch.zeros(num, NUM_MOMENTS, device=device)
        slots, moments = as_warp(rendering.tiles.gaussian_ids, wp.int32), as_warp(totals, wp.float32)
        launch(_accumulate_moments, num_blocks(splats, device), [0, 0, splats, images, slots, moments], device)
        yield torch.arange(num + 1, dtype=torch.int32, device=device), totals
        return
    offsets = rendering.tiles.offsets.tolist()
    for first, last in tile_runs(offsets, max_entries):
        ids = rendering.tiles.gaussian_ids[offsets[first] : offsets[last]]
        slots, starts = private_slots(ids, num)
        parts = torch.zeros(len(ids), NUM_MOMENTS)
        inputs = [first, offsets[first], splats, images, as_warp(slots, wp.int32), as_warp(parts, wp.float32)]
        launch(_accumulate_moments, last - first, inputs, device)
        yield starts, parts


def dense_moments(moments: Float[Tensor, "n 36"]) -> Float[Tensor, "n 9 9"]:
    """M of the module's docstring from the moments."""
    quadratic = moments.new_zeros(len(moments), 6, 6)
    for row, (i, j) in enumerate(QUADRATIC_POWERS):
        for column, (k, m) in enumerate(QUADRATIC_POWERS):
            quadratic[:, row, column] = moments[:, quartic_index(i + k, j + m)]
    cross = moments[:, 15:33].reshape(-1, 3, 6).mT
    color = moments[:, SQUARES, None, None] * torch.eye(3, device=moments.device)
    upper = torch.cat([quadratic, cross], dim=2)
    return torch.cat([upper, torch.cat([cross.mT, color], dim=2)], dim=1)


def quartic_index(i: int, j: int) -> int:
    """Position of u^i v^j among the 15 monomials of degree <= 4."""
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


ROW_OF_EIGHT = """
#if defined(__CUDACC__)
typedef wp::vec_t<8, float> row8;
#else
typedef float row8 __attribute__((ext_vector_type(8)));
#endif
"""
"""Eight numbers that the CPU adds and multiplies at once."""


def quadratic_slots() -> str:
    """`quartic_index` of the product of two quadratic monomials, as a table in C++."""
    rows = ([str(quartic_index(i + k, j + m)) for k, m in QUADRATIC_POWERS] for i, j in QUADRATIC_POWERS)
    return "{" + ", ".join("{" + ", ".join(row) + "}" for row in rows) + "}"


@wp.struct
class ObservedImages:
    """Images of a view. Pixels of `pixel_weight` 0 take no part."""

    color: wp.array2d(dtype=wp.vec3)
    pixel_weight: wp.array2d(dtype=float)
    sq_residual: wp.array2d(dtype=float)


BEHIND_BUFFERS = "float reds[ROOM] = {}, greens[ROOM] = {}, blues[ROOM] = {};"
BEHIND_LOAD = """
    reds[i] = images.color.data[at][0], greens[i] = images.color.data[at][1], blues[i] = images.color.data[at][2];
"""
BEHIND = """
    // what is left of the pixel's colour behind this Gaussian, and d
    const lanes rest_red = load(reds + i) - weight * red, rest_green = load(greens + i) - weight * green;
    const lanes rest_blue = load(blues + i) - weight * blue;
    store(reds + i, rest_red), store(greens + i, rest_green), store(blues + i, rest_blue);
    const lanes moved = moves ? alpha : zero, shown = moved * before, hidden = moved / (1.0f - alpha);
    const lanes d_red = shown * red - hidden * rest_red, d_green = shown * green - hidden * rest_green;
    const lanes d_blue = shown * blue - hidden * rest_blue;
"""
"""Parts of a walk that follow the light behind a Gaussian, for `images` with a `color`."""

_MOMENTS = tile_walk(
    buffers=BEHIND_BUFFERS + " float pixel_weights[ROOM] = {}, residuals[ROOM] = {};",
    load=BEHIND_LOAD
    + """
        pixel_weights[i] = images.pixel_weight.data[at], residuals[i] = images.sq_residual.data[at];
        if (!(pixel_weights[i] > 0.0f)) transmittance[i] = -1.0f;
    """,
    begin="""
        float* to = moments.data + (long long)slots.data[entry - first_entry] * moments.shape[1];
        fetch(to), fetch(to + 16), fetch(to + 32);
        lanes sums[36] = {};
    """,
    row="lanes even[5] = {}, odd[9] = {}; // of |d|^2 u^i, and of a T d_c u^i",
    pixels=BEHIND
    + """
        const lanes count = load(pixel_weights + i), counted = count * weight;
        sums[33] += counted * weight, sums[34] += weight, sums[35] += weight * load(residuals + i);
        lanes part = count * (d_red * d_red + d_green * d_green + d_blue * d_blue);
        for (int n = 0; n < 5; ++n) even[n] += part, part *= u;
        const lanes channels[] = {counted * d_red, counted * d_green, counted * d_blue};
        for (int c = 0; c < 3; ++c) {
            const lanes linear = channels[c] * u;
            odd[3 * c] += channels[c], odd[3 * c + 1] += linear, odd[3 * c + 2] += linear * u;
        }
    """,
    row_end="""
        float power = 1.0f;
        for (int j = 0, n = 0; j < 5; ++j, power *= v)
            for (int i = 0; i < 5 - j; ++i, ++n) sums[n] += power * even[i];
        for (int c = 0; c < 3; ++c) {
            lanes* of = sums + 15 + 6 * c;
            of[0] += odd[3 * c], of[1] += odd[3 * c + 1], of[2] += odd[3 * c + 2];
            of[3] += v * odd[3 * c], of[4] += v * odd[3 * c + 1], of[5] += v * v * odd[3 * c];
        }
    """,
    end="""
        float totals[40];
        sum_lanes(sums, 36, totals);
        if (totals[34] > 0.0f) {
            for (int n = 0; n < 36; ++n) add(to + n, totals[n]);
        }
    """,
)


@wp.func_native(_MOMENTS)
def _moments_of_block(
    block: int,
    first_entry: int,
    splats: Splats,
    images: ObservedImages,
    slots: wp.array(dtype=int),
    moments: wp.array2d(dtype=float),
): ...


@wp.kernel(enable_backward=False)
def _accumulate_moments(
    first_of_band: int,
    first_block: int,
    first_entry: int,
    splats: Splats,
    images: ObservedImages,
    slots: wp.array(dtype=int),
    moments: wp.array2d(dtype=float),
):
    """Adds to the row `slots[entry - first_entry]` what a block gives to the Gaussian of that entry."""
    _moments_of_block(first_block + first_of_band + wp.tid(), first_entry, splats, images, slots, moments)
