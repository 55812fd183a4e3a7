"""PSNR, SSIM and mean absolute error: one implementation for fitting, training and evaluation."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure


def psnr_db(
    image: Float[Tensor, "*hw 3"], truth: Float[Tensor, "*hw 3"], mask: Bool[Tensor, "*hw"] | None = None
) -> float:
    """Peak signal-to-noise ratio in dB for values in [0, 1], over the pixels of `mask` (all if None)."""
    error = (image - truth).square().mean(-1)
    mse = (error if mask is None else error[mask]).mean().clamp_min(1e-10)
    return float(-10.0 * torch.log10(mse))


def ssim(image: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]) -> Float[Tensor, ""]:
    """Structural similarity with the usual 11-pixel Gaussian window; differentiable."""
    batch = (image.permute(2, 0, 1)[None], truth.permute(2, 0, 1)[None])
    return structural_similarity_index_measure(*batch, data_range=1.0)


def ssim_map(image: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
    """SSIM per pixel, averaged over channels; differentiable."""
    batch = (image.permute(2, 0, 1)[None], truth.permute(2, 0, 1)[None])
    _, full = structural_similarity_index_measure(*batch, data_range=1.0, return_full_image=True)
    return full[0].mean(0)


def mean_abs_error(
    image: Float[Tensor, "*hw 3"], truth: Float[Tensor, "*hw 3"], mask: Bool[Tensor, "*hw"] | None = None
) -> float:
    """Mean absolute colour error over the pixels of `mask` (all if None); NaN for an empty mask."""
    error = (image - truth).abs().mean(-1)
    return float((error if mask is None else error[mask]).mean())
