"""Losses of the fit, each with an explicit weight per pixel.

Every function returns a scalar. Weights are not normalised to their sum: a pixel with weight 0.5 counts half as much as
one with weight 1 wherever it is, and an image of weight 0 moves nothing.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
SSIM_RADIUS, SSIM_SIGMA = 5, 1.5
ALPHA_MARGIN = 1e-4
"""Alpha is kept this far from 0 and 1 in logarithms."""


def l1_loss(
    image: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"], weight: Float[Tensor, "h w"]
) -> Float[Tensor, ""]:
    """Mean over pixels and channels of weight * |image - truth|."""
    return ((image - truth).abs().mean(-1) * weight).mean()


def ssim_loss(
    image: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"], weight: Float[Tensor, "h w"]
) -> Float[Tensor, ""]:
    """Mean over pixels of weight * (1 - SSIM) with the 11-pixel Gaussian window.

    Pixels of weight 0 still enter the windows of their neighbours: so the image is compared with itself there
    (the truth is replaced by the detached image), which keeps content that must not count out of the statistics.
    """
    truth = torch.where(weight[..., None] > 0, truth, image.detach())
    return ((1.0 - structural_similarity(image, truth)) * weight).mean()


def structural_similarity(image: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
    """SSIM per pixel, averaged over channels (Wang et al. 2004; reflected borders, values in [0, 1]).

    The same numbers as `utils.image_math.ssim_map`, in half its time: a Gaussian window is separable, and as two
    matrix products it is faster on a CPU than any convolution.
    """
    height, width = image.shape[:2]
    rows, columns = blur_matrix(height, image.device), blur_matrix(width, image.device)
    stack = torch.cat([image, truth, image * image, truth * truth, image * truth], dim=-1)
    blurred = rows @ (rearrange(stack, "h w c -> c h w") @ columns.T)
    mean_x, mean_y, xx, yy, xy = rearrange(blurred, "(k c) h w -> k c h w", k=5)
    var_x, var_y = (xx - mean_x.square()).clamp_min(0.0), (yy - mean_y.square()).clamp_min(0.0)
    luminance = (2.0 * mean_x * mean_y + SSIM_C1) / (mean_x.square() + mean_y.square() + SSIM_C1)
    contrast = (2.0 * (xy - mean_x * mean_y) + SSIM_C2) / (var_x + var_y + SSIM_C2)
    return (luminance * contrast).mean(0)


@functools.lru_cache(maxsize=16)
def blur_matrix(size: int, device: torch.device) -> Float[Tensor, "n n"]:
    """Gaussian blur (sigma 1.5, 11 taps, reflected borders) of a vector of length `size` as a matrix."""
    taps = torch.exp(-0.5 * (torch.arange(-SSIM_RADIUS, SSIM_RADIUS + 1.0) / SSIM_SIGMA).square())
    padded = F.pad(torch.eye(size)[:, None], (SSIM_RADIUS, SSIM_RADIUS), mode="reflect")
    return F.conv1d(padded, (taps / taps.sum())[None, None])[:, 0].T.contiguous().to(device)


def photometric_loss(
    image: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"], weight: Float[Tensor, "h w"], ssim_weight: float
) -> Float[Tensor, ""]:
    """(1 - ssim_weight) * L1 + ssim_weight * (1 - SSIM), Kerbl et al. 2023, eq. 7, per-pixel weighted."""
    loss = (1.0 - ssim_weight) * l1_loss(image, truth, weight)
    return loss + ssim_weight * ssim_loss(image, truth, weight) if ssim_weight > 0 else loss


def inverse_depth_loss(
    depth_m: Float[Tensor, "h w"], lidar_depth_m: Float[Tensor, "h w"], weight: Float[Tensor, "h w"], scale_m: float
) -> Float[Tensor, ""]:
    """L1 between scale / (scale + depth) of the render and of the LiDAR, over pixels with a return (depth > 0).

    The compressive map makes a metre near the car count more than a metre far away; `scale_m` is where it bends.
    Mean over the returns; 0 if there are none. Pixels the render leaves empty (depth 0) are not pulled.
    """
    valid = (lidar_depth_m > 0) & (depth_m > 0)
    if not bool(valid.any()):
        return depth_m.sum() * 0.0
    error = scale_m / (scale_m + depth_m[valid]) - scale_m / (scale_m + lidar_depth_m[valid])
    return (error.abs() * weight[valid]).mean()


def sky_alpha_loss(
    alpha: Float[Tensor, "h w"], sky_mask: Bool[Tensor, "h w"], weight: Float[Tensor, "h w"]
) -> Float[Tensor, ""]:
    """Binary cross-entropy between the accumulated alpha and `not sky`: Gaussians stay out of the sky and cover the
    rest."""
    alpha = alpha.clamp(ALPHA_MARGIN, 1.0 - ALPHA_MARGIN)
    return F.binary_cross_entropy(alpha, (~sky_mask).to(alpha), weight=weight)
