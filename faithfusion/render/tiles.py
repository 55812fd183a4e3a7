"""Which Gaussians touch which 16x16 pixel tiles, sorted front to back."""

# Signatures of Warp kernels hold values where Python has types.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

import torch
import warp as wp
from jaxtyping import Int
from torch import Tensor

from faithfusion.render.constants import TILE_SIZE_PX
from faithfusion.render.project_kernels import reach
from faithfusion.types import Projection, TileLists
from faithfusion.utils.warp_launch import as_warp, launch

TILE_SIZE = wp.constant(TILE_SIZE_PX)


@torch.no_grad()
def intersect_tiles(projection: Projection, width: int, height: int) -> TileLists:
    """Tile lists of the visible Gaussians, ordered by depth and, where equal, by index.

    A Gaussian is listed in the tiles that hold a pixel centre of the box in which its alpha reaches MIN_ALPHA.
    """
    device = projection.radii.device
    tiles_x, tiles_y = -(-width // TILE_SIZE_PX), -(-height // TILE_SIZE_PX)
    visible = projection.radii.nonzero()[:, 0]
    depth_bits = projection.depths[visible].float().view(torch.int32)  # positive floats sort as their bits, 9x faster
    visible = visible[depth_bits.argsort(stable=True)].to(torch.int32)
    boxes = torch.empty(len(visible), 4, dtype=torch.int32, device=device)
    counts = torch.empty(len(visible), dtype=torch.int32, device=device)
    screen = [as_warp(projection.means2d, wp.vec2), as_warp(projection.stds2d, wp.vec2)]
    screen.append(as_warp(projection.opacities, wp.float32))
    places = [as_warp(visible, wp.int32), as_warp(boxes, wp.vec4i), as_warp(counts, wp.int32)]
    launch(_measure_boxes, len(visible), [*screen, width, height, *places], device)
    ends = counts.cumsum(0, dtype=torch.int32)
    num_entries = int(ends[-1]) if len(ends) else 0
    tile_ids, gaussian_ids = torch.empty(2, num_entries, dtype=torch.int32, device=device)
    entries = [as_warp(tensor, wp.int32) for tensor in (ends - counts, tile_ids, gaussian_ids)]
    launch(_list_entries, len(visible), [tiles_x, places[0], places[1], *entries], device)
    offsets = torch.zeros(tiles_x * tiles_y + 1, dtype=torch.int32, device=device)
    offsets[1:] = torch.bincount(tile_ids, minlength=tiles_x * tiles_y).cumsum(0)
    return TileLists(TILE_SIZE_PX, tiles_x, tiles_y, offsets, _sorted_by_tile(gaussian_ids, tile_ids, offsets))


def _sorted_by_tile(
    gaussian_ids: Int[Tensor, " m"], tile_ids: Int[Tensor, " m"], offsets: Int[Tensor, " tiles_plus_1"]
) -> Int[Tensor, " m"]:
    """The Gaussians of all entries, tile after tile; within a tile in their order."""
    if tile_ids.device.type == "cuda":
        return gaussian_ids[tile_ids.argsort(stable=True)]
    result = torch.empty_like(gaussian_ids)
    arrays = [as_warp(tensor, wp.int32) for tensor in (gaussian_ids, tile_ids, offsets.clone(), result)]
    wp.launch(_deal_out, dim=1, inputs=arrays, device="cpu")
    return result


@wp.kernel(enable_backward=False)
def _measure_boxes(
    first: int,
    means2d: wp.array(dtype=wp.vec2),
    stds2d: wp.array(dtype=wp.vec2),
    opacities: wp.array(dtype=wp.float32),
    width: int,
    height: int,
    visible: wp.array(dtype=wp.int32),
    boxes: wp.array(dtype=wp.vec4i),
    counts: wp.array(dtype=wp.int32),
):
    """First tile column and row, number of columns and rows, of one visible Gaussian."""
    rank = first + wp.tid()
    i = visible[rank]
    mean = means2d[i]
    half = reach(opacities[i]) * stds2d[i]
    # in float until it is bounded by the image
    left = wp.max(wp.ceil(mean[0] - half[0] - 0.5), 0.0)
    top = wp.max(wp.ceil(mean[1] - half[1] - 0.5), 0.0)
    right = wp.min(wp.floor(mean[0] + half[0] - 0.5), float(width - 1))
    bottom = wp.min(wp.floor(mean[1] + half[1] - 0.5), float(height - 1))
    box = wp.vec4i(0, 0, 0, 0)
    if right >= left and bottom >= top:
        column = int(left) // TILE_SIZE
        row = int(top) // TILE_SIZE
        box = wp.vec4i(column, row, int(right) // TILE_SIZE - column + 1, int(bottom) // TILE_SIZE - row + 1)
    boxes[rank] = box
    counts[rank] = box[2] * box[3]


@wp.kernel(enable_backward=False)
def _list_entries(
    first: int,
    tiles_x: int,
    visible: wp.array(dtype=wp.int32),
    boxes: wp.array(dtype=wp.vec4i),
    starts: wp.array(dtype=wp.int32),
    tile_ids: wp.array(dtype=wp.int32),
    gaussian_ids: wp.array(dtype=wp.int32),
):
    """Writes the (tile, Gaussian) pairs of one visible Gaussian, row by row."""
    rank = first + wp.tid()
    box = boxes[rank]
    entry = starts[rank]
    for row in range(box[3]):
        for column in range(box[2]):
            tile_ids[entry] = (box[1] + row) * tiles_x + box[0] + column
            gaussian_ids[entry] = visible[rank]
            entry += 1


@wp.kernel(enable_backward=False)
def _deal_out(
    gaussian_ids: wp.array(dtype=wp.int32),
    tile_ids: wp.array(dtype=wp.int32),
    next_place: wp.array(dtype=wp.int32),
    result: wp.array(dtype=wp.int32),
):
    """One sequential thread: puts every entry into the next place of its tile."""
    for entry in range(tile_ids.shape[0]):
        place = next_place[tile_ids[entry]]
        result[place] = gaussian_ids[entry]
        next_place[tile_ids[entry]] = place + 1
