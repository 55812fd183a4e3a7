"""Which Gaussians touch which 16x16 pixel tiles, sorted front to back."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from faithfusion.render.constants import TILE_SIZE_PX
from faithfusion.render.project import extents_px
from faithfusion.types import Projection, TileLists


@torch.no_grad()
def intersect_tiles(projection: Projection, width: int, height: int) -> TileLists:
    """Tile lists of the visible Gaussians, ordered by depth and, where equal, by index.

    A Gaussian is listed in the tiles that hold a pixel centre of the box in which its alpha reaches MIN_ALPHA.
    """
    tiles_x, tiles_y = -(-width // TILE_SIZE_PX), -(-height // TILE_SIZE_PX)
    visible = projection.radii.nonzero()[:, 0]
    depth_bits = projection.depths[visible].float().view(torch.int32)  # positive floats sort as their bits, 9x faster
    visible = visible[depth_bits.argsort(stable=True)]
    first, count = _tile_rectangles(projection, visible, width, height)
    num_tiles = count[:, 0] * count[:, 1]
    starts = num_tiles.cumsum(0) - num_tiles
    rank = torch.repeat_interleave(num_tiles)  # depth rank of the Gaussian of each (Gaussian, tile) pair
    local = torch.arange(rank.shape[0], device=rank.device) - starts[rank]
    columns = count[rank, 0]
    row = torch.div(local, columns, rounding_mode="floor")
    tile = (first[rank, 1] + row) * tiles_x + first[rank, 0] + local - row * columns
    order = tile.int().argsort(stable=True)
    offsets = torch.zeros(tiles_x * tiles_y + 1, dtype=torch.int32, device=tile.device)
    offsets[1:] = torch.bincount(tile, minlength=tiles_x * tiles_y).cumsum(0)
    gaussian_ids = visible[rank[order]].to(torch.int32)
    return TileLists(TILE_SIZE_PX, tiles_x, tiles_y, offsets, gaussian_ids)


def _tile_rectangles(
    projection: Projection, ids: Int[Tensor, " v"], width: int, height: int
) -> tuple[Int[Tensor, "v 2"], Int[Tensor, "v 2"]]:
    """First tile column and row, and how many columns and rows, of the given Gaussians."""
    means2d = projection.means2d[ids]
    extents = extents_px(projection.stds2d[ids], projection.opacities[ids])
    last_pixel = means2d.new_tensor([width - 1, height - 1])
    lowest = (means2d - extents - 0.5).ceil().clamp_min(0)
    highest = torch.minimum((means2d + extents - 0.5).floor(), last_pixel)
    first = torch.div(lowest, TILE_SIZE_PX, rounding_mode="floor")
    last = torch.div(highest, TILE_SIZE_PX, rounding_mode="floor")
    count = torch.where((highest >= lowest).all(-1, keepdim=True), last - first + 1, 0.0)
    return first.long(), count.long()
