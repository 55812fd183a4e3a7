"""PSNR, SSIM and mean absolute error: one implementation for fitting, training and evaluation."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
SSIM_RADIUS, SSIM_SIGMA = 5, 1.5
BLUR_BLOCK = 32
"""Rows of the banded matrix of a blur that are multiplied at once: larger blocks hold more zeros."""


def psnr_db(
    image: Float[Tensor, "*hw 3"], truth: Float[Tensor, "*hw 3"], mask: Bool[Tensor, "*hw"] | None = None
) -> float:
    """Peak signal-to-noise ratio in dB for values in [0, 1], over the pixels of `mask` (all if None)."""
    error = (image - truth).square().mean(-1)
    return psnr_of(error if mask is None else error[mask])


def psnr_of(sq_error: Float[Tensor, "*shape"]) -> float:
    """Peak signal-to-noise ratio in dB of pixels with these squared errors."""
    return float(-10.0 * torch.log10(sq_error.mean().clamp_min(1e-10)))


def ssim_map(image: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
    """SSIM per pixel, averaged over channels (Wang et al. 2004; reflected borders, values in [0, 1]).

    The same numbers as torchmetrics' (a test), in a fraction of its time: a Gaussian window is separable, its blur is
    a product with a banded matrix, and the gradient is in closed form. Differentiable once, in both images.
    """
    return _Ssim.apply(image.float(), truth.float())


class _Ssim(torch.autograd.Function):
    """The images are kept as [h, 3, w]: both blurs are then products of matrices without a copy. SSIM needs four
    moments: x, y, x^2 + y^2 and x y."""

    @staticmethod
    def forward(ctx: Any, image: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
        x, y = image.transpose(1, 2).contiguous(), truth.transpose(1, 2).contiguous()
        mean_x, mean_y, squares, xy = _blur(torch.cat([x, y, x * x + y * y, x * y], 1)).chunk(4, 1)
        norms, product = mean_x.square() + mean_y.square(), mean_x * mean_y
        bottom, spread = norms + SSIM_C1, squares - norms + SSIM_C2
        luminance = (2.0 * product + SSIM_C1) / bottom
        contrast = (2.0 * (xy - product) + SSIM_C2) / spread
        ctx.save_for_backward(x, y, mean_x, mean_y, luminance, bottom, contrast, spread)
        return (luminance * contrast).mean(1)

    @staticmethod
    def backward(ctx: Any, grad: Float[Tensor, "h w"]) -> tuple[Tensor | None, ...]:
        x, y, mean_x, mean_y, *parts = ctx.saved_tensors
        sides = ((x, y, mean_x, mean_y), (y, x, mean_y, mean_x))
        wanted = zip(sides, ctx.needs_input_grad, strict=True)
        return tuple(_ssim_slope(grad[:, None] / 3.0, side, parts) if needed else None for side, needed in wanted)


def _ssim_slope(grad: Float[Tensor, "h 1 w"], side: tuple[Tensor, ...], parts: list[Tensor]) -> Float[Tensor, "h w 3"]:
    """The gradient by image x of `side` (x, y and their means): through three moments, blurred backwards."""
    x, y, mean_x, mean_y = side
    luminance, bottom, contrast, spread = parts
    by_xy = grad * luminance / spread * 2.0
    by_squares = -0.5 * by_xy * contrast
    by_luminance = grad * contrast / bottom * 2.0
    by_mean = by_luminance * (mean_y - luminance * mean_x) - by_xy * mean_y - 2.0 * by_squares * mean_x
    by_mean, by_squares, by_xy = _blur(torch.cat([by_mean, by_squares, by_xy], 1), backwards=True).chunk(3, 1)
    return (by_mean + 2.0 * x * by_squares + y * by_xy).transpose(1, 2)


def _blur(stack: Float[Tensor, "h c w"], *, backwards: bool = False) -> Float[Tensor, "h c w"]:
    """Every channel under the window of SSIM or, `backwards`, under its transpose. On the CPU block by block of the
    banded matrix, which is zero elsewhere."""
    height, channels, width = stack.shape
    rows, columns = blur_matrix(height, stack.device), blur_matrix(width, stack.device).T
    rows, columns = (rows.T, columns.T) if backwards else (rows, columns)
    flat = stack.reshape(height * channels, width)
    across, both = torch.empty_like(flat), stack.new_empty(height, channels * width)
    block = BLUR_BLOCK if stack.device.type == "cpu" else max(height, width)
    for begin, end, low, high in _bands(width, block):
        torch.mm(flat[:, low:high], columns[low:high, begin:end], out=across[:, begin:end])
    across = across.view(height, channels * width)
    for begin, end, low, high in _bands(height, block):
        torch.mm(rows[begin:end, low:high], across[low:high], out=both[begin:end])
    return both.view(height, channels, width)


def _bands(size: int, block: int) -> list[tuple[int, int, int, int]]:
    """Blocks [begin, end) of an axis and the entries [low, high) their windows reach."""
    begins = range(0, size, block)
    return [(i, min(i + block, size), max(i - SSIM_RADIUS, 0), min(i + block + SSIM_RADIUS, size)) for i in begins]


@functools.lru_cache(maxsize=16)
def blur_matrix(size: int, device: torch.device) -> Float[Tensor, "n n"]:
    """Gaussian blur (sigma 1.5, 11 taps, reflected borders) of a vector of length `size` as a matrix."""
    taps = torch.exp(-0.5 * (torch.arange(-SSIM_RADIUS, SSIM_RADIUS + 1.0) / SSIM_SIGMA).square())
    padded = F.pad(torch.eye(size)[:, None], (SSIM_RADIUS, SSIM_RADIUS), mode="reflect")
    return F.conv1d(padded, (taps / taps.sum())[None, None])[:, 0].T.contiguous().to(device)
