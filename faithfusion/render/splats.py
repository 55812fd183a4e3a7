"""What a rendering was made of, as the kernels see it: screen-space Gaussians and the tiles that list them."""

# Signatures of Warp kernels hold values where Python has types.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from faithfusion.render.constants import TILE_SIZE_PX
from faithfusion.render.project_kernels import reach
from faithfusion.types import Projection, TileLists
from faithfusion.utils.warp_launch import as_warp, launch, prepare_warp

RECORD_FLOATS = 16
"""Numbers of a Gaussian in a row of memory that the processor fetches at once. In this order: mean 2; the conic's
Cholesky factor root_a, slope, s and 1 / root_a; log2 opacity and opacity; colour 3; depth; standard deviations to
the ellipse alpha = MIN_ALPHA and half its rows in pixels."""


@wp.struct
class Splats:
    """Screen-space Gaussians, one record each, their tile lists and the size of the image."""

    records: wp.array2d(dtype=wp.float32)
    offsets: wp.array(dtype=wp.int32)
    gaussian_ids: wp.array(dtype=wp.int32)
    width: wp.int32
    height: wp.int32
    tile_size: wp.int32
    tiles_x: wp.int32


def splats_of(projection: Projection, tiles: TileLists, height: int, width: int) -> Splats:
    """Records of the visible Gaussians; those of the others have no meaning, and no tile lists them."""
    prepare_warp()
    records = projection.depths.new_empty(len(projection.depths), RECORD_FLOATS)
    inputs = [as_warp(projection.means2d, wp.vec2), as_warp(projection.conics, wp.vec3)]
    inputs.append(as_warp(projection.stds2d, wp.vec2))
    inputs += [as_warp(projection.opacities, wp.float32), as_warp(projection.rgb, wp.vec3)]
    inputs += [as_warp(projection.depths, wp.float32), as_warp(projection.radii, wp.int32)]
    launch(_write_records, len(records), [*inputs, as_warp(records, wp.float32)], records.device)
    splats = Splats()
    splats.records = as_warp(records, wp.float32)
    splats.offsets, splats.gaussian_ids = as_warp(tiles.offsets, wp.int32), as_warp(tiles.gaussian_ids, wp.int32)
    splats.height, splats.width = height, width
    splats.tile_size, splats.tiles_x = tiles.tile_size, tiles.tiles_x
    return splats


def num_blocks(splats: Splats, device: torch.device) -> int:
    """The number of blocks that cover the image (`render.walk`): tiles on the CPU, pixels on CUDA."""
    side = TILE_SIZE_PX if blocks_are_tiles(device) else 1
    return -(-splats.width // side) * -(-splats.height // side)


def blocks_are_tiles(device: torch.device) -> bool:
    """Whether a thread owns a tile, so that what it adds to a Gaussian can have a slot of its own; on CUDA it owns a
    pixel, and they add to the Gaussian's total with atomics."""
    return device.type != "cuda"


def private_slots(gaussian_ids: Int[Tensor, " m"], num: int) -> tuple[Int[Tensor, " m"], Int[Tensor, " num_plus_1"]]:
    """A slot of its own for every tile-list entry, those of Gaussian k at starts[k] : starts[k + 1] in list order."""
    starts = torch.zeros(num + 1, dtype=torch.int32)
    starts[1:] = torch.bincount(gaussian_ids, minlength=num).cumsum(0)
    slots = torch.empty_like(gaussian_ids)
    arrays = [as_warp(tensor, wp.int32) for tensor in (gaussian_ids, starts[:-1].clone(), slots)]
    wp.launch(_number_slots, dim=1, inputs=arrays, device="cpu")
    return slots, starts


def add_slots(starts: Int[Tensor, " n_plus_1"], per_slot: Float[Tensor, "m w"], totals: Float[Tensor, "n w"]) -> None:
    """Adds to every Gaussian its slots, in their order."""
    arrays = [as_warp(starts, wp.int32), as_warp(per_slot, wp.float32), as_warp(totals, wp.float32)]
    launch(_add_slots, len(totals), arrays, totals.device)


@wp.kernel(enable_backward=False)
def _write_records(
    first: int,
    means2d: wp.array(dtype=wp.vec2),
    conics: wp.array(dtype=wp.vec3),
    stds2d: wp.array(dtype=wp.vec2),
    opacities: wp.array(dtype=wp.float32),
    rgb: wp.array(dtype=wp.vec3),
    depths: wp.array(dtype=wp.float32),
    radii: wp.array(dtype=wp.int32),
    records: wp.array2d(dtype=wp.float32),
):
    """One thread per Gaussian."""
    k = first + wp.tid()
    if radii[k] > 0:
        mean = means2d[k]
        conic = conics[k]
        root_a = wp.sqrt(conic[0])
        edge = reach(opacities[k])
        records[k, 0] = mean[0]
        records[k, 1] = mean[1]
        records[k, 2] = root_a
        records[k, 3] = conic[1] / root_a
        records[k, 4] = 1.0 / stds2d[k][1]
        records[k, 5] = 1.0 / root_a
        records[k, 6] = wp.log2(opacities[k])
        records[k, 7] = opacities[k]
        records[k, 8] = rgb[k][0]
        records[k, 9] = rgb[k][1]
        records[k, 10] = rgb[k][2]
        records[k, 11] = depths[k]
        records[k, 12] = edge
        records[k, 13] = edge * stds2d[k][1]


@wp.kernel(enable_backward=False)
def _number_slots(
    gaussian_ids: wp.array(dtype=wp.int32), next_slot: wp.array(dtype=wp.int32), slots: wp.array(dtype=wp.int32)
):
    """One sequential thread: gives every entry a slot of its own, those of a Gaussian side by side."""
    for entry in range(gaussian_ids.shape[0]):
        i = gaussian_ids[entry]
        slots[entry] = next_slot[i]
        next_slot[i] = next_slot[i] + 1


@wp.func_native("""
const int width = totals.shape[1];
float* total = totals.data + (long long)k * width;
for (int slot = starts.data[k]; slot < starts.data[k + 1]; ++slot) {
    const float* part = per_slot.data + (long long)slot * width;
    for (int i = 0; i < width; ++i) total[i] += part[i];
}
""")
def _add_slots_of(
    k: int, starts: wp.array(dtype=int), per_slot: wp.array2d(dtype=float), totals: wp.array2d(dtype=float)
): ...


@wp.kernel(enable_backward=False)
def _add_slots(
    first: int, starts: wp.array(dtype=int), per_slot: wp.array2d(dtype=float), totals: wp.array2d(dtype=float)
):
    """One thread per Gaussian."""
    _add_slots_of(first + wp.tid(), starts, per_slot, totals)
