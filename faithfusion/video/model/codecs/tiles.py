"""Codecs in overlapping tiles: a fraction of the memory of whole frames.

The tiles are of one size and spread evenly, so that none is a sliver at the border and neighbours overlap by at least
the asked number of pixels. Where they overlap, weights that fall linearly towards a tile's border blend them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Tiles:
    """Square tiles, in pixels, multiples of the codec's stride; neighbours overlap by at least `overlap`."""

    pixels: int
    overlap: int


@dataclass(frozen=True)
class Span:
    """One tile along one side, in pixels, and how far its neighbours reach into it."""

    start: int
    stop: int
    before: int
    after: int

    def cells(self, cell: int) -> slice:
        """The span in cells of so many pixels."""
        return slice(self.start // cell, self.stop // cell)

    def weights(self, cell: int) -> Float[Tensor, " n"]:
        """1, falling towards the neighbours."""
        place = torch.arange((self.stop - self.start) // cell) + 0.5
        rising, falling = (
            (position * cell / reach).clamp_max(1.0) if reach else torch.ones_like(position)
            for position, reach in ((place, self.before), (place.flip(0), self.after))
        )
        return torch.minimum(rising, falling)


def spans(side: int, tiles: Tiles, stride: int) -> list[Span]:
    """The fewest tiles that cover `side` pixels with the asked overlap, evenly spread. Each begins and ends with a
    latent cell of `stride` pixels."""
    if side <= tiles.pixels:
        return [Span(0, side, 0, 0)]
    count = math.ceil((side - tiles.overlap) / (tiles.pixels - tiles.overlap))
    steps = (side - tiles.pixels) // stride
    starts = [round(index * steps / (count - 1)) * stride for index in range(count)]
    stops = [start + tiles.pixels for start in starts]
    befores = [0, *(stop - start for stop, start in zip(stops, starts[1:], strict=False))]
    return [
        Span(start, stop, before, after)
        for start, stop, before, after in zip(starts, stops, befores, [*befores[1:], 0], strict=True)
    ]


def in_tiles(
    function: Callable[[Tensor], Tensor],
    values: Float[Tensor, "b c t h w"],
    tiles: Tiles | None,
    cell: int,
    result_cell: int,
) -> Float[Tensor, "b d k y x"]:
    """`function` of the values, tile by tile, in float32. `cell` and `result_cell`: pixels along each side of an
    element of its input and output. Without tiles, or where one covers all, the function of the whole."""
    height, width = values.shape[-2] * cell, values.shape[-1] * cell
    if tiles is None or max(height, width) <= tiles.pixels:
        return function(values).float()
    result = total = None
    stride = max(cell, result_cell)
    for row in spans(height, tiles, stride):
        for column in spans(width, tiles, stride):
            part = function(values[..., row.cells(cell), column.cells(cell)])
            weight = (row.weights(result_cell)[:, None] * column.weights(result_cell)).to(part.device)
            if result is None or total is None:
                size = height // result_cell, width // result_cell
                result = part.new_zeros((*part.shape[:-2], *size), dtype=torch.float32)
                total = part.new_zeros(size, dtype=torch.float32)
            place = ..., row.cells(result_cell), column.cells(result_cell)
            result[place] += weight * part
            total[place] += weight
            del part
    return result.div_(total)
