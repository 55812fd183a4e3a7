"""Alpha blending of sorted tile lists, forward and backward, in NVIDIA Warp: one source for CPU and CUDA.

A Warp thread owns a block of `block_px` x `block_px` pixels: a whole tile on the CPU, where per-Gaussian work is then
shared by the pixels and gradients need one write per tile, and a single pixel on CUDA. Within the block only the pixels
inside the ellipse alpha >= MIN_ALPHA are visited, row by row. With q = d^T conic d at offset d from the mean,
alpha = min(MAX_ALPHA, opacity exp(-q / 2)).
"""

# Signatures of Warp kernels hold values where Python has types.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

import warp as wp

from faithfusion.render.constants import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE

ALPHA_CAP = wp.constant(MAX_ALPHA)
ALPHA_FLOOR = wp.constant(MIN_ALPHA)
TRANSMITTANCE_FLOOR = wp.constant(MIN_TRANSMITTANCE)
SLACK_PX = wp.constant(1e-2)  # the ellipse only bounds the search; whether a pixel counts is decided by its alpha


@wp.struct
class Splats:
    """What is blended: screen-space Gaussians and their tile lists."""

    means2d: wp.array(dtype=wp.vec2)
    conics: wp.array(dtype=wp.vec3)
    opacities: wp.array(dtype=wp.float32)
    rgb: wp.array(dtype=wp.vec3)
    depths: wp.array(dtype=wp.float32)
    offsets: wp.array(dtype=wp.int32)
    gaussian_ids: wp.array(dtype=wp.int32)
    width: wp.int32
    height: wp.int32
    tile_size: wp.int32
    tiles_x: wp.int32
    block_px: wp.int32


@wp.struct
class Gradients:
    """Gradients per slot: a slot is a (tile, Gaussian) pair on the CPU and a Gaussian on CUDA."""

    slots: wp.array(dtype=wp.int32)  # of each entry of the tile lists
    means2d: wp.array(dtype=wp.vec2)
    conics: wp.array(dtype=wp.vec3)
    opacities: wp.array(dtype=wp.float32)
    rgb: wp.array(dtype=wp.vec3)
    depths: wp.array(dtype=wp.float32)


@wp.func
def block_corner(splats: Splats, block: int) -> wp.vec2i:
    """Top left pixel of a block."""
    blocks_x = (splats.width + splats.block_px - 1) // splats.block_px
    return wp.vec2i((block % blocks_x) * splats.block_px, (block // blocks_x) * splats.block_px)


@wp.func
def cut(low: float, high: float, begin: int, end: int) -> wp.vec2i:
    """Pixels of [begin, end) whose centre lies in [low, high], as [first, last + 1)."""
    first = wp.max(low - 0.5 - SLACK_PX, float(begin))
    last = wp.min(high - 0.5 + SLACK_PX, float(end - 1))
    return wp.vec2i(int(wp.ceil(first)), int(wp.floor(last)) + 1)


@wp.func
def reach(opacity: float) -> float:
    """q at the edge of the ellipse alpha = MIN_ALPHA."""
    return 2.0 * wp.log(opacity / ALPHA_FLOOR)


@wp.func
def rows_of(mean: wp.vec2, conic: wp.vec3, edge: float, begin: int, end: int) -> wp.vec2i:
    """Pixel rows of [begin, end) that the ellipse q <= edge touches."""
    half = wp.sqrt(wp.max(edge * conic[0] / (conic[0] * conic[2] - conic[1] * conic[1]), 0.0))
    return cut(mean[1] - half, mean[1] + half, begin, end)


@wp.func
def columns_of(mean: wp.vec2, conic: wp.vec3, edge: float, dy: float, begin: int, end: int) -> wp.vec2i:
    """Pixels of a row at offset `dy` inside the ellipse q <= edge: the roots of q(dx) = edge."""
    b = conic[1] * dy
    half = wp.sqrt(wp.max(b * b - conic[0] * (conic[2] * dy * dy - edge), 0.0))
    return cut(mean[0] - (b + half) / conic[0], mean[0] + (half - b) / conic[0], begin, end)


@wp.func
def falloff(conic: wp.vec3, dx: float, dy: float) -> float:
    """exp(-q / 2) at an offset from the mean."""
    return wp.exp(-0.5 * (conic[0] * dx * dx + 2.0 * conic[1] * dx * dy + conic[2] * dy * dy))


@wp.func
def half_gradient(conic: wp.vec3, dx: float, dy: float) -> wp.vec2:
    """Half the gradient of q by the offset."""
    return wp.vec2(conic[0] * dx + conic[1] * dy, conic[1] * dx + conic[2] * dy)


@wp.kernel(enable_backward=False)
def blend_forward(
    first_block: int,
    splats: Splats,
    background: wp.array2d(dtype=wp.vec3),
    color: wp.array2d(dtype=wp.vec3),
    depth: wp.array2d(dtype=wp.float32),
    alpha: wp.array2d(dtype=wp.float32),
    transmittance: wp.array2d(dtype=wp.float32),
):
    """Blends front to back. `transmittance` starts at 1, the other images at 0.

    Until the end `depth` holds sum_i w_i z_i, and the transmittance of a pixel that is finished early is negative.
    """
    corner = block_corner(splats, first_block + wp.tid())
    x_end = wp.min(corner[0] + splats.block_px, splats.width)
    y_end = wp.min(corner[1] + splats.block_px, splats.height)
    alive = int((x_end - corner[0]) * (y_end - corner[1]))
    tile = (corner[1] // splats.tile_size) * splats.tiles_x + corner[0] // splats.tile_size
    for entry in range(splats.offsets[tile], splats.offsets[tile + 1]):
        if alive == 0:
            break
        i = splats.gaussian_ids[entry]
        mean = splats.means2d[i]
        conic = splats.conics[i]
        opacity = splats.opacities[i]
        rgb = splats.rgb[i]
        z = splats.depths[i]
        edge = reach(opacity)
        rows = rows_of(mean, conic, edge, corner[1], y_end)
        for y in range(rows[0], rows[1]):
            dy = float(y) + 0.5 - mean[1]
            columns = columns_of(mean, conic, edge, dy, corner[0], x_end)
            for x in range(columns[0], columns[1]):
                before = transmittance[y, x]
                if before > 0.0:
                    dx = float(x) + 0.5 - mean[0]
                    opaque = wp.min(ALPHA_CAP, opacity * falloff(conic, dx, dy))
                    if opaque >= ALPHA_FLOOR:
                        after = before * (1.0 - opaque)
                        if after <= TRANSMITTANCE_FLOOR:
                            transmittance[y, x] = -before
                            alive -= 1
                        else:
                            weight = opaque * before
                            color[y, x] = color[y, x] + weight * rgb
                            depth[y, x] = depth[y, x] + weight * z
                            alpha[y, x] = alpha[y, x] + weight
                            transmittance[y, x] = after
    for y in range(corner[1], y_end):
        for x in range(corner[0], x_end):
            left = wp.abs(transmittance[y, x])
            transmittance[y, x] = left
            color[y, x] = color[y, x] + left * background[y, x]
            if alpha[y, x] > 0.0:
                depth[y, x] = depth[y, x] / alpha[y, x]


@wp.kernel(enable_backward=False)
def blend_backward(
    first_block: int,
    splats: Splats,
    grad_color: wp.array2d(dtype=wp.vec3),
    grad_depth_sum: wp.array2d(dtype=wp.float32),
    depth: wp.array2d(dtype=wp.float32),
    remaining: wp.array2d(dtype=wp.float32),
    transmittance: wp.array2d(dtype=wp.float32),
    gradients: Gradients,
):
    """Walks the same pixels front to back again; `transmittance` starts at 1.

    The loss changes with the weight w_i by h_i = rgb_i . grad_color + (z_i - depth) grad_depth_sum and with the final
    transmittance T by h_T = background . grad_color - grad_alpha. `remaining` starts as sum_i w_i h_i + T h_T and loses
    each term once it is passed, so d loss / d alpha_i = T_i h_i - remaining / (1 - alpha_i).
    """
    corner = block_corner(splats, first_block + wp.tid())
    x_end = wp.min(corner[0] + splats.block_px, splats.width)
    y_end = wp.min(corner[1] + splats.block_px, splats.height)
    alive = int((x_end - corner[0]) * (y_end - corner[1]))
    tile = (corner[1] // splats.tile_size) * splats.tiles_x + corner[0] // splats.tile_size
    for entry in range(splats.offsets[tile], splats.offsets[tile + 1]):
        if alive == 0:
            break
        i = splats.gaussian_ids[entry]
        mean = splats.means2d[i]
        conic = splats.conics[i]
        opacity = splats.opacities[i]
        rgb = splats.rgb[i]
        z = splats.depths[i]
        edge = reach(opacity)
        rows = rows_of(mean, conic, edge, corner[1], y_end)
        d_mean = wp.vec2(0.0, 0.0)
        d_conic = wp.vec3(0.0, 0.0, 0.0)
        d_opacity = wp.float32(0.0)
        d_rgb = wp.vec3(0.0, 0.0, 0.0)
        d_z = wp.float32(0.0)
        for y in range(rows[0], rows[1]):
            dy = float(y) + 0.5 - mean[1]
            columns = columns_of(mean, conic, edge, dy, corner[0], x_end)
            for x in range(columns[0], columns[1]):
                before = transmittance[y, x]
                if before > 0.0:
                    dx = float(x) + 0.5 - mean[0]
                    shape = falloff(conic, dx, dy)
                    opaque = wp.min(ALPHA_CAP, opacity * shape)
                    if opaque >= ALPHA_FLOOR:
                        after = before * (1.0 - opaque)
                        if after <= TRANSMITTANCE_FLOOR:
                            transmittance[y, x] = -before
                            alive -= 1
                        else:
                            weight = opaque * before
                            h = wp.dot(rgb, grad_color[y, x]) + (z - depth[y, x]) * grad_depth_sum[y, x]
                            rest = remaining[y, x] - weight * h
                            remaining[y, x] = rest
                            transmittance[y, x] = after
                            d_rgb += weight * grad_color[y, x]
                            d_z += weight * grad_depth_sum[y, x]
                            if opacity * shape < ALPHA_CAP:
                                d_opaque = before * h - rest / (1.0 - opaque)
                                d_opacity += d_opaque * shape
                                d_q = -0.5 * opaque * d_opaque
                                d_conic += d_q * wp.vec3(dx * dx, 2.0 * dx * dy, dy * dy)
                                d_mean -= (2.0 * d_q) * half_gradient(conic, dx, dy)
        slot = gradients.slots[entry]
        wp.atomic_add(gradients.means2d, slot, d_mean)
        wp.atomic_add(gradients.conics, slot, d_conic)
        wp.atomic_add(gradients.opacities, slot, d_opacity)
        wp.atomic_add(gradients.rgb, slot, d_rgb)
        wp.atomic_add(gradients.depths, slot, d_z)


@wp.kernel(enable_backward=False)
def number_slots(
    gaussian_ids: wp.array(dtype=wp.int32), next_slot: wp.array(dtype=wp.int32), slots: wp.array(dtype=wp.int32)
):
    """One sequential thread: gives every entry a slot of its own, those of a Gaussian side by side."""
    for entry in range(gaussian_ids.shape[0]):
        i = gaussian_ids[entry]
        slots[entry] = next_slot[i]
        next_slot[i] = next_slot[i] + 1


@wp.kernel(enable_backward=False)
def sum_slots(first: int, slot_starts: wp.array(dtype=wp.int32), per_slot: Gradients, total: Gradients):
    """Adds the slots of each Gaussian in their order."""
    i = first + wp.tid()
    for slot in range(slot_starts[i], slot_starts[i + 1]):
        total.means2d[i] = total.means2d[i] + per_slot.means2d[slot]
        total.conics[i] = total.conics[i] + per_slot.conics[slot]
        total.opacities[i] = total.opacities[i] + per_slot.opacities[slot]
        total.rgb[i] = total.rgb[i] + per_slot.rgb[slot]
        total.depths[i] = total.depths[i] + per_slot.depths[slot]
