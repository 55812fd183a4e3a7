"""The walk through the pixels of a block, front to back, written once for every pass over them.

Blending, its gradient and the passes of `eig` visit the same pixels with the same alpha and transmittance. `tile_walk`
puts what a pass does on the way into the text of a Warp native function, which Warp compiles with its own compilers:
clang for the CPU, where a block is a tile, and NVRTC for CUDA, where it is one pixel. In the text `lanes` are eight
neighbouring pixels of a row on the CPU and one pixel on CUDA, and `mask` is a truth value for each of them.

A visit happens in the whitened offset of the pixel from the mean, (u, v) = L^T (pixel - mean) with the conic = L L^T, L
lower triangular: alpha = min(MAX_ALPHA, opacity exp(-(u^2 + v^2) / 2)). v is the same in a row, both are below
sqrt(2 ln 255) = 3.3 wherever alpha counts, and polynomials in them do not cancel however thin the Gaussian is.

What the parts may use (all floats but the indices):

    at, i             index of a pixel in the images, and in the block's own buffers of ROOM floats
    entry, k          index in the tile lists, and of the Gaussian
    root_a, slope, s  L = ((root_a, 0), (slope, s)); 1 / s is the standard deviation along y
    opacity, red, green, blue, z
    y, v              row of the block, and the offset there                       in `row`, `pixels`, `row_end`
    x, u              first column of the lanes, and their offsets                 in `pixels`
    alpha, before     transmittance before the Gaussian
    takes, weight     which lanes blend it, and alpha * before, 0 where they do not
    moves             which lanes blend it with an alpha that is not at MAX_ALPHA

`buffers` declares the block's buffers, `load` fills them for a pixel that takes part, `begin` and `end` enclose a
Gaussian, `row` and `row_end` a row, `pixels` is the visit, and `finish` writes what a pixel has gathered.
"""

from __future__ import annotations

from string import Template

from faithfusion.render.constants import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, TILE_SIZE_PX
from faithfusion.render.splats import RECORD_FLOATS

_LANES = Template("""
#if defined(__CUDACC__) || defined(FAITHFUSION_SINGLE_PIXELS)
typedef float lanes;
typedef int mask;
const int SIDE = 1, NUM_LANES = 1, ROOM = 1;
auto load = [](const float* from) -> lanes { return *from; };
auto store = [](float* to, lanes value) { *to = value; };
auto count_up = []() -> lanes { return 0.0f; };
auto exp2_of = [](lanes value) -> lanes { return exp2f(value); };
auto sqrt_of = [](lanes value) -> lanes { return sqrtf(value); };
auto fetch = [](const float* from) {};
auto store_whole = [](int* to, lanes value) { *to = (int)value; };
auto any = [](mask which) -> bool { return which != 0; };
auto sum_lanes = [](const lanes* sums, int count, float* to) { for (int n = 0; n < count; ++n) to[n] = sums[n]; };
#else
#pragma clang fp contract(fast)
typedef float lanes __attribute__((ext_vector_type(8)));
typedef int mask __attribute__((ext_vector_type(8)));
typedef float loose_lanes __attribute__((ext_vector_type(8), aligned(4)));
typedef int loose_mask __attribute__((ext_vector_type(8), aligned(4)));
const int SIDE = $side, NUM_LANES = 8, ROOM = SIDE * SIDE + NUM_LANES;
auto load = [](const float* from) -> lanes { return *(const loose_lanes*)from; };
auto store = [](float* to, lanes value) { *(loose_lanes*)to = value; };
auto count_up = []() -> lanes { return lanes{0, 1, 2, 3, 4, 5, 6, 7}; };
// a polynomial of degree 5 for the fraction, relative error 8e-8; the whole part goes into the exponent
auto exp2_of = [](lanes value) -> lanes {
    const lanes bounded = __builtin_elementwise_max(value, (lanes)(-126.0f));
    const lanes whole = __builtin_elementwise_roundeven(bounded), f = bounded - whole;
    lanes power = f * 1.32764813e-3f + 9.67554152e-3f;
    power = power * f + 5.55071346e-2f;
    power = power * f + 2.40221199e-1f;
    power = power * f + 6.93146970e-1f;
    power = power * f + 1.00000007f;
    const mask exponent = (__builtin_convertvector(whole, mask) + 127) << 23;
    return power * __builtin_bit_cast(lanes, exponent);
};
auto fetch = [](const float* from) { __builtin_prefetch(from); };
auto sqrt_of = [](lanes value) -> lanes { return __builtin_elementwise_sqrt(value); };
auto store_whole = [](int* to, lanes value) { *(loose_mask*)to = __builtin_convertvector(value, mask); };
auto any = [](mask which) -> bool { return __builtin_reduce_or(which) != 0; };
// sums over the lanes of eight vectors at a time, by adding halves, pairs and neighbours
auto sum_lanes = [](const lanes* sums, int count, float* to) {
    for (int n = 0; n < count; n += 8) {
        lanes pairs[4], quads[2];
        for (int m = 0; m < 4; ++m) {
            const lanes one = n + 2 * m < count ? sums[n + 2 * m] : (lanes)(0.0f);
            const lanes two = n + 2 * m + 1 < count ? sums[n + 2 * m + 1] : (lanes)(0.0f);
            pairs[m] = __builtin_shufflevector(one, two, 0, 8, 2, 10, 4, 12, 6, 14)
                + __builtin_shufflevector(one, two, 1, 9, 3, 11, 5, 13, 7, 15);
        }
        for (int m = 0; m < 2; ++m)
            quads[m] = __builtin_shufflevector(pairs[2 * m], pairs[2 * m + 1], 0, 1, 8, 9, 4, 5, 12, 13)
                + __builtin_shufflevector(pairs[2 * m], pairs[2 * m + 1], 2, 3, 10, 11, 6, 7, 14, 15);
        const lanes total = __builtin_shufflevector(quads[0], quads[1], 0, 1, 2, 3, 8, 9, 10, 11)
            + __builtin_shufflevector(quads[0], quads[1], 4, 5, 6, 7, 12, 13, 14, 15);
        for (int m = 0; m < 8 && n + m < count; ++m) to[n + m] = total[m];
    }
};
#endif
// to memory that several blocks write to on CUDA; on the CPU it is the block's own
auto add = [](float* to, float value) {
#if defined(__CUDACC__)
    atomicAdd(to, value);
#else
    *to += value;
#endif
};
""")

_WALK = Template("""
const int blocks_x = (splats.width + SIDE - 1) / SIDE;
const int left = (block % blocks_x) * SIDE, top = (block / blocks_x) * SIDE;
const int num_columns = wp::min(SIDE, splats.width - left), num_rows = wp::min(SIDE, splats.height - top);
const lanes zero = 0.0f;
float transmittance[ROOM]; // that of a finished pixel is negative
$buffers
for (int i = 0; i < ROOM; ++i) transmittance[i] = -1.0f;
int alive = 0;
for (int y = 0; y < num_rows; ++y) {
    for (int x = 0; x < num_columns; ++x) {
        const int i = y * SIDE + x, at = (top + y) * splats.width + left + x;
        transmittance[i] = 1.0f;
        $load
        alive += transmittance[i] > 0.0f;
    }
}
const int tile = (top / splats.tile_size) * splats.tiles_x + left / splats.tile_size;
const int last_entry = splats.offsets.data[tile + 1];
for (int entry = splats.offsets.data[tile]; entry < last_entry && alive > 0; ++entry) {
    const int k = splats.gaussian_ids.data[entry];
    const float* record = splats.records.data + (long long)k * $record_floats;
    if (entry + 4 < last_entry) {
        fetch(splats.records.data + (long long)splats.gaussian_ids.data[entry + 4] * $record_floats);
    }
    const float mean_x = record[0] - left - 0.5f, mean_y = record[1] - top - 0.5f;
    const float root_a = record[2], slope = record[3], s = record[4], inverse_root_a = record[5];
    const float log2_opacity = record[6], opacity = record[7], reach = record[12], half_rows = record[13] + 0.01f;
    const float red = record[8], green = record[9], blue = record[10], z = record[11];
    // the ellipse alpha = MIN_ALPHA bounds the search, a little wider; whether a pixel counts is decided by its alpha
    const int first_row = (int)ceilf(wp::max(mean_y - half_rows, 0.0f));
    const int last_row = (int)floorf(wp::min(mean_y + half_rows, (float)(num_rows - 1)));
    if (!(first_row <= last_row)) continue;
    $begin
    mask newly_finished = (mask)(0);
    int first_column_of[SIDE], last_column_of[SIDE];
    for (int y = first_row / NUM_LANES * NUM_LANES; y <= last_row; y += NUM_LANES) {
        const lanes dy = count_up() + ((float)y - mean_y), v = s * dy, space = reach * reach - v * v;
        const lanes half = sqrt_of(space > zero ? space : zero) * inverse_root_a + 0.01f;
        const lanes low = (mean_x + 1.0f) - slope * inverse_root_a * dy - half, high = low + 2.0f * half;
        const lanes end = (float)num_columns;
        store_whole(first_column_of + y, low > zero ? low : zero);
        store_whole(last_column_of + y, (high < end ? high : end));
    }
    for (int y = first_row; y <= last_row; ++y) {
        const float dy = (float)y - mean_y, v = s * dy, tilt = slope * dy - root_a * mean_x;
        const int first_column = first_column_of[y], last_column = last_column_of[y] - 1;
        const float log2_row = log2_opacity - 0.721347520f * v * v;
        $row
        for (int x = first_column; x <= last_column; x += NUM_LANES) {
            const int i = SIDE == 1 ? 0 : y * SIDE + x;
            const lanes columns = count_up() + (float)x, before = load(transmittance + i);
            const lanes u = root_a * columns + tilt;
            const lanes raw = exp2_of(-0.721347520f * u * u + log2_row);
            const mask below_cap = raw < (lanes)($max_alpha);
            const lanes alpha = below_cap ? raw : (lanes)($max_alpha);
            const mask counts = (alpha >= (lanes)($min_alpha)) & (before > zero) & (columns <= (float)last_column);
            const lanes after = before - before * alpha;
            const mask ends = counts & (after <= (lanes)($min_transmittance));
            const mask takes = counts & (after > (lanes)($min_transmittance)), moves = takes & below_cap;
            const lanes weight = takes ? alpha * before : zero;
            store(transmittance + i, ends ? -before : (takes ? after : before));
            newly_finished |= ends;
            $pixels
        }
        $row_end
    }
    $end
    if (any(newly_finished)) {
        alive = 0;
        for (int i = 0; i < ROOM; ++i) alive += transmittance[i] > 0.0f;
    }
}
for (int y = 0; y < num_rows; ++y) {
    for (int x = 0; x < num_columns; ++x) {
        const int i = y * SIDE + x, at = (top + y) * splats.width + left + x;
        $finish
    }
}
""")


def tile_walk(
    *,
    buffers: str = "",
    load: str = "",
    begin: str = "",
    row: str = "",
    pixels: str = "",
    row_end: str = "",
    end: str = "",
    finish: str = "",
) -> str:
    """The text of a native function of (block, splats, ...) that walks a block and does these parts on the way."""
    constants = {"side": TILE_SIZE_PX, "record_floats": RECORD_FLOATS}
    constants |= {"max_alpha": f"{MAX_ALPHA!r}f", "min_alpha": f"{MIN_ALPHA:.9e}f"}
    constants |= {"min_transmittance": f"{MIN_TRANSMITTANCE!r}f"}
    parts = {"buffers": buffers, "load": load, "begin": begin, "row": row}
    parts |= {"pixels": pixels, "row_end": row_end, "end": end, "finish": finish}
    return _LANES.substitute(constants) + _WALK.substitute(constants | parts)
