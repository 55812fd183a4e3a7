"""People change shape while they move: their Gaussians follow a few handles.

Embedded deformation (Sumner et al. 2007) in its lightest form, with the sparse control points that SC-GS (Huang et al.
2024) uses for Gaussians: a point of the body moves by the weighted mean of the displacements of the handles around it.
Handles stand on a fixed grid in the tracked box, so nothing has to be known about limbs, and a bicycle works as well
as a pedestrian. Only means move: at a few dozen pixels a limb's rotation is in the displacement of its ends.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.types import RigidNode

GRID = (2, 2, 4)
"""Handles along the length, width and height of a box: front and back, left and right, four levels."""


def box_handles(size_m: Float[Tensor, 3]) -> Float[Tensor, "c 3"]:
    """The middles of the cells of `GRID` in a box of that size, node coordinates."""
    axes = [(torch.arange(count) + 0.5) / count - 0.5 for count in GRID]
    return torch.cartesian_prod(*axes) * size_m.cpu()


def handle_weights(
    points: Float[Tensor, "n 3"], handles_m: Float[Tensor, "c 3"], size_m: Float[Tensor, 3]
) -> Float[Tensor, "n c"]:
    """Share of every handle in the displacement of every point: Gaussian in the distance measured in grid cells,
    normalised over the handles."""
    cell_m = size_m / torch.tensor(GRID, dtype=size_m.dtype, device=size_m.device)
    distance = (points[:, None] - handles_m[None]) / cell_m
    return torch.softmax(-2.0 * distance.square().sum(-1), dim=-1)


def displacement_m(node: RigidNode, points: Float[Tensor, "n 3"], row: int) -> Float[Tensor, "n 3"]:
    """Displacement (metres, node coordinates) of a node's points from their rest at its `row`-th time stamp."""
    handles, size_m = node.handles_m.to(points), node.size_m.to(points)
    return handle_weights(points, handles, size_m) @ node.handle_offsets_m[row].to(points)
