"""What is left between a render and the recorded picture that poses or exposure could explain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.render.reproject import sample_image

TILE_PX = 24
ITERATIONS = 4
LEAST_GRADIENT = 1e-4
"""Smaller eigenvalue of a tile's mean squared gradient below which it does not tell both directions."""
LARGEST_FLOW_PX = 4.0
"""Flows beyond are no small displacement of the same thing."""


def residual_flow(render: Float[Tensor, "h w 3"], image: Float[Tensor, "h w 3"]) -> Float[Tensor, "n 2"]:
    """Displacements (x, y) in pixels that bring the picture onto the render, one per tile of `TILE_PX` a side with
    texture: render(x) = image(x + flow).

    Lucas and Kanade (1981), coarse by a blur of five pixels, without what is constant in a tile, so that exposure does
    not count as motion.
    """
    ours, theirs = (_smooth_grey(picture) for picture in (render, image))
    height, width = ours.shape
    rows, columns = height // TILE_PX, width // TILE_PX
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    flow = torch.zeros(rows, columns, 2)
    told = torch.zeros(rows, columns, dtype=torch.bool)
    for _ in range(ITERATIONS):
        moved = F.interpolate(flow.permute(2, 0, 1)[None], scale_factor=TILE_PX, mode="nearest")[0]
        shift = F.pad(moved, (0, width - columns * TILE_PX, 0, height - rows * TILE_PX), mode="replicate")
        here = sample_image(theirs[..., None], torch.stack([u, v], -1) + shift.permute(1, 2, 0))[..., 0]
        down, across = torch.gradient(here)
        parts = [_centred_tiles(values, rows, columns) for values in (across, down, ours - here)]
        gradient = torch.stack(parts[:2], -1)  # [rows, columns, pixels, 2]
        normal = gradient.transpose(-1, -2) @ gradient / TILE_PX**2
        told = torch.linalg.eigvalsh(normal)[..., 0] > LEAST_GRADIENT
        right = (gradient * parts[2][..., None]).mean(-2)
        step = torch.linalg.solve(normal + 1e-8 * torch.eye(2), right[..., None])[..., 0]
        flow = torch.where(told[..., None], (flow + step).clamp(-2.0 * LARGEST_FLOW_PX, 2.0 * LARGEST_FLOW_PX), flow)
    return flow[told & (flow.norm(dim=-1) < LARGEST_FLOW_PX)]


def exposed_alike(
    render: Float[Tensor, "h w 3"], image: Float[Tensor, "h w 3"], mask: Bool[Tensor, "h w"]
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, 3]]:
    """The render with the gain per channel that fits the picture best over `mask`, and the log of that gain."""
    ours, theirs = render[mask], image[mask]
    gain = (ours * theirs).sum(0) / ours.square().sum(0).clamp_min(1e-6)
    return render * gain, gain.clamp_min(1e-3).log()


def _smooth_grey(picture: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
    grey = picture.mean(-1)[None, None]
    for _ in range(2):
        grey = F.avg_pool2d(grey, 3, stride=1, padding=1, count_include_pad=False)
    return grey[0, 0]


def _centred_tiles(values: Float[Tensor, "h w"], rows: int, columns: int) -> Float[Tensor, "r c p"]:
    tiles = values[: rows * TILE_PX, : columns * TILE_PX].unflatten(0, (rows, TILE_PX)).unflatten(2, (columns, TILE_PX))
    flat = tiles.permute(0, 2, 1, 3).flatten(2)
    return flat - flat.mean(-1, keepdim=True)
