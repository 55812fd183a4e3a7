"""Losses of the fit, each with an explicit weight per pixel.

Every function returns a scalar. Weights are not normalised to their sum: a pixel with weight 0.5 counts half as much as
one with weight 1 wherever it is, and an image of weight 0 moves nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.utils.image_math import ssim_map

ALPHA_MARGIN = 1e-4
"""Alpha is kept this far from 0 and 1 in logarithms."""


def l1_loss(
    image: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"], weight: Float[Tensor, "h w"]
) -> Float[Tensor, ""]:
    """Mean over pixels and channels of weight * |image - truth|."""
    return ((image - truth).abs() * weight[..., None]).mean()


def ssim_loss(
    image: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"], weight: Float[Tensor, "h w"]
) -> Float[Tensor, ""]:
    """Mean over pixels of weight * (1 - SSIM) with the 11-pixel Gaussian window.

    Pixels of weight 0 still enter the windows of their neighbours: so the image is compared with itself there
    (the truth is replaced by the detached image), which keeps content that must not count out of the statistics.
    """
    truth = torch.where(weight[..., None] > 0, truth, image.detach())
    return ((1.0 - ssim_map(image, truth)) * weight).mean()


def photometric_loss(
    image: Float[Tensor, "h w 3"],
    truth: Float[Tensor, "h w 3"],
    weight: Float[Tensor, "h w"],
    ssim_weight: float,
    l1_weight: Float[Tensor, "h w"] | None = None,
) -> Float[Tensor, ""]:
    """(1 - ssim_weight) * L1 + ssim_weight * (1 - SSIM), Kerbl et al. 2023, eq. 7, per-pixel weighted. With `l1_weight`
    L1 has weights of its own."""
    loss = (1.0 - ssim_weight) * l1_loss(image, truth, weight if l1_weight is None else l1_weight)
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
