"""gsplat's CUDA rasteriser behind the same interface; the only file that imports gsplat's rasterisation."""

from __future__ import annotations

import contextlib
import functools
import sys

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from faithfusion.types import Projection, TileLists

MAX_REASON = 200  # characters; a failed compilation says thousands
TELLING_WORDS = ("error:", "undefined symbol", "no kernel image", "not found", "no such file")


@functools.cache
def gsplat_problem() -> str | None:
    """None if gsplat's extension loads (its first use compiles it, which takes minutes) and draws, else why not.

    Whatever is wrong, the reason is one line: gsplat or nvcc is not installed, the compilation fails, the extension was
    built for another torch (undefined symbols) or for other GPUs (no kernel image), or draws something else.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where gsplat tells that it compiles
            from gsplat.cuda._backend import _C  # pyright: ignore[reportAttributeAccessIssue]
    except Exception as error:  # a failed compilation raises anything from OSError to IndexError
        return f"its CUDA extension does not load: {short_reason(error)}"
    if _C is None:
        return "its CUDA extension is not built and nvcc was not found"
    try:
        return _trial_problem()
    except Exception as error:
        return f"its CUDA extension loads but does not run: {short_reason(error)}"


def short_reason(error: Exception) -> str:
    """The line of a message that says most, with the kind of the error."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line.lower() for word in TELLING_WORDS)]
    return f"{type(error).__name__}: {(telling or lines or [''])[0]}"[:MAX_REASON].removesuffix(": ")


def _trial_problem() -> str | None:
    """Draws one Gaussian of opacity 0.5 in the middle of a tile, with gradients, and looks at the result."""

    def cuda(*values: object, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.tensor(values, dtype=dtype, device="cuda")

    opacity, numbers = cuda(0.5).requires_grad_(), torch.int32
    projection = Projection(
        means2d=cuda((8.5, 8.5)),
        conics=cuda((0.1, 0.0, 0.1)),
        stds2d=cuda((10.0**0.5, 10.0**0.5)),
        depths=cuda(2.0),
        radii=cuda(8, dtype=numbers),
        opacities=opacity,
        rgb=cuda((1.0, 0.5, 0.25)),
    )
    tiles = TileLists(16, 1, 1, cuda(0, 1, dtype=numbers), cuda(0, dtype=numbers))
    with torch.enable_grad():  # the first rendering may be one without gradients
        color, _, alpha = blend_gsplat(projection, tiles, torch.zeros(16, 16, 3, device="cuda"))
        color.sum().backward()
    middle = torch.cat([color[8, 8], alpha[8, 8, None]]).detach().cpu()
    gradient = opacity.grad
    if gradient is None or not bool(gradient.isfinite().all()) or float(gradient) <= 0.0:
        return "its CUDA extension gives no gradient"
    if not torch.allclose(middle, torch.tensor([0.5, 0.25, 0.125, 0.5]), atol=1e-3):
        return f"its CUDA extension draws {middle.tolist()} instead of [0.5, 0.25, 0.125, 0.5]"
    return None


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
