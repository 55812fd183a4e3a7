"""gsplat's CUDA rasteriser behind the same interface; the only file that imports gsplat's rasterisation."""

from __future__ import annotations

import functools

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from faithfusion.types import Projection, TileLists


@functools.cache
def gsplat_problem() -> str | None:
    """None if gsplat's extension loads (its first use compiles it, which takes minutes), else why it does not."""
    try:
        from gsplat.cuda._backend import _C
    except Exception as error:  # a failed compilation raises anything from OSError to RuntimeError
        return " ".join(str(error).split())[:200] or type(error).__name__
    return None if _C is not None else "its CUDA extension is not built and nvcc was not found"


def blend_gsplat(
    projection: Projection, tiles: TileLists, background: Float[Tensor, "h w 3"]
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Colour over the background, expected depth and alpha, as `blend_warp` gives them; CUDA tensors only."""
    from gsplat import rasterize_to_pixels

    height, width = background.shape[:2]
    features = torch.cat([projection.rgb, projection.depths[:, None]], -1)
    offsets = rearrange(tiles.offsets[:-1], "(ty tx) -> 1 ty tx", ty=tiles.tiles_y)
    blended, alpha = rasterize_to_pixels(
        projection.means2d[None],
        projection.conics[None],
        features[None],
        projection.opacities[None],
        width,
        height,
        tiles.tile_size,
        offsets.contiguous(),
        tiles.gaussian_ids,
    )
    color = blended[0, ..., :3] + (1.0 - alpha[0]) * background
    alpha = alpha[0, ..., 0]
    depth = torch.where(alpha > 0, blended[0, ..., 3] / alpha.clamp_min(1e-6), 0.0)
    return color, depth, alpha
