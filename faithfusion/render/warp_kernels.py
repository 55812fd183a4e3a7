"""Alpha blending of sorted tile lists and its gradient: what `render.walk` does with the pixels it visits."""

# Signatures of Warp kernels hold values where Python has types.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

import warp as wp

from faithfusion.render.splats import Splats
from faithfusion.render.walk import tile_walk

NUM_GRADIENTS = 10  # of a Gaussian: mean2d 2, conic 3, opacity 1, colour 3, depth 1


@wp.struct
class Images:
    """What blending reads (`background`) and writes. `transmittance`: what is left for the background."""

    background: wp.array2d(dtype=wp.vec3)
    color: wp.array2d(dtype=wp.vec3)
    depth: wp.array2d(dtype=wp.float32)
    alpha: wp.array2d(dtype=wp.float32)
    transmittance: wp.array2d(dtype=wp.float32)


@wp.struct
class ImageGradients:
    """Gradients of the loss by colour and by sum_i w_i z_i; the blended depth; and what `remaining` starts as.

    The loss changes with the weight w_i by h_i = rgb_i . grad_color + (z_i - depth) grad_depth_sum and with the final
    transmittance T by h_T = background . grad_color - grad_alpha. `remaining` starts as sum_i w_i h_i + T h_T and loses
    each term once it is passed, so d loss / d alpha_i = T_i h_i - remaining / (1 - alpha_i).
    """

    color: wp.array2d(dtype=wp.vec3)
    depth_sum: wp.array2d(dtype=wp.float32)
    depth: wp.array2d(dtype=wp.float32)
    remaining: wp.array2d(dtype=wp.float32)


_FORWARD = tile_walk(
    buffers="float reds[ROOM] = {}, greens[ROOM] = {}, blues[ROOM] = {}, depth_sums[ROOM] = {}, alphas[ROOM] = {};",
    pixels="""
        store(reds + i, load(reds + i) + weight * red);
        store(greens + i, load(greens + i) + weight * green);
        store(blues + i, load(blues + i) + weight * blue);
        store(depth_sums + i, load(depth_sums + i) + weight * z);
        store(alphas + i, load(alphas + i) + weight);
    """,
    finish="""
        const float left_over = fabsf(transmittance[i]);
        const wp::vec_t<3, float> blended(reds[i], greens[i], blues[i]);
        images.color.data[at] = blended + left_over * images.background.data[at];
        images.depth.data[at] = alphas[i] > 0.0f ? depth_sums[i] / alphas[i] : 0.0f;
        images.alpha.data[at] = alphas[i];
        images.transmittance.data[at] = left_over;
    """,
)

_BACKWARD = tile_walk(
    buffers="float reds[ROOM] = {}, greens[ROOM] = {}, blues[ROOM] = {}, depth_sums[ROOM] = {}, at_depth[ROOM] = {}, "
    "remaining[ROOM] = {};",
    load="""
        reds[i] = images.color.data[at][0], greens[i] = images.color.data[at][1], blues[i] = images.color.data[at][2];
        depth_sums[i] = images.depth_sum.data[at], at_depth[i] = images.depth.data[at] * depth_sums[i];
        remaining[i] = images.remaining.data[at];
    """,
    begin="""
        float* by = gradients.data + (long long)slots.data[entry] * gradients.shape[1];
        fetch(by);
        lanes by_red = zero, by_green = zero, by_blue = zero, by_z = zero;
        lanes q_sum = zero, q_u = zero, q_v = zero, q_uu = zero, q_uv = zero, q_vv = zero; // of d loss / d (q / 2)
    """,
    row="lanes row_sum = zero, row_u = zero;",
    pixels="""
        const lanes grad_red = load(reds + i), grad_green = load(greens + i), grad_blue = load(blues + i);
        const lanes grad_depth = load(depth_sums + i);
        const lanes h = red * grad_red + green * grad_green + blue * grad_blue + (z * grad_depth - load(at_depth + i));
        const lanes rest = load(remaining + i) - weight * h;
        store(remaining + i, rest);
        by_red += weight * grad_red, by_green += weight * grad_green, by_blue += weight * grad_blue;
        by_z += weight * grad_depth;
        const lanes by_half_q = moves ? alpha * (rest / (1.0f - alpha) - before * h) : zero;
        const lanes by_half_q_u = by_half_q * u;
        row_sum += by_half_q, row_u += by_half_q_u, q_uu += by_half_q_u * u;
    """,
    row_end="q_sum += row_sum, q_u += row_u, q_v += v * row_sum, q_uv += v * row_u, q_vv += v * v * row_sum;",
    end="""
        // q = |L^T d|^2: by the mean it is -2 L (u, v), by the conic d d^T with d = L^-T (u, v)
        const lanes sums[] = {q_sum, q_u, q_v, q_uu, q_uv, q_vv, by_red, by_green, by_blue, by_z};
        float totals[16];
        sum_lanes(sums, 10, totals);
        const float dy_v = 1.0f / s, dx_u = inverse_root_a, dx_v = -slope * inverse_root_a * dy_v;
        const float uu = 0.5f * totals[3], uv = 0.5f * totals[4], vv = 0.5f * totals[5];
        add(by + 0, -root_a * totals[1]);
        add(by + 1, -slope * totals[1] - s * totals[2]);
        add(by + 2, dx_u * dx_u * uu + 2.0f * dx_u * dx_v * uv + dx_v * dx_v * vv);
        add(by + 3, 2.0f * dy_v * (dx_u * uv + dx_v * vv));
        add(by + 4, dy_v * dy_v * vv);
        add(by + 5, -totals[0] / opacity);
        for (int n = 6; n < 10; ++n) add(by + n, totals[n]);
    """,
)


@wp.func_native(_FORWARD)
def _forward(block: int, splats: Splats, images: Images): ...


@wp.func_native(_BACKWARD)
def _backward(
    block: int,
    splats: Splats,
    images: ImageGradients,
    slots: wp.array(dtype=wp.int32),
    gradients: wp.array2d(dtype=wp.float32),
): ...


@wp.kernel(enable_backward=False)
def blend_forward(first_block: int, splats: Splats, images: Images):
    """Blends front to back; depth is the mean sum_i w_i z_i / sum_i w_i."""
    _forward(first_block + wp.tid(), splats, images)


@wp.kernel(enable_backward=False)
def blend_backward(
    first_block: int,
    splats: Splats,
    images: ImageGradients,
    slots: wp.array(dtype=wp.int32),
    gradients: wp.array2d(dtype=wp.float32),
):
    """Adds to the row `slots[entry]` of `gradients` what a block gives to the Gaussian of that entry."""
    _backward(first_block + wp.tid(), splats, images, slots, gradients)
