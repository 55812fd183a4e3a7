"""gsplat's own way from Gaussians to a picture, projection included, on the Gaussians that are measured here.

gsplat 1.5 has a projection in plain torch, which runs anywhere. Its rasteriser in plain torch does not: it gets the
pairs of pixels and Gaussians from a CUDA kernel (`rasterize_to_indices_in_range`) and multiplies transmittances with
nerfacc, whose products are CUDA kernels too. So pictures are compared on a card alone.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.render.constants import COVARIANCE_BLUR_PX2, NEAR_M
from faithfusion.types import Camera, Gaussians

GSPLAT = "gsplat.rasterization, forward + backward"


def gsplat_picture(
    gaussians: Gaussians, camera: Camera, background: Float[Tensor, "h w 3"]
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"]]:
    """Colour over the background and expected depth by `gsplat.rasterization`; CUDA tensors only."""
    from gsplat import rasterization

    blended, alpha, _ = rasterization(
        gaussians.means,
        gaussians.quats,
        gaussians.log_scales.exp(),
        gaussians.opacity_logits.sigmoid(),
        gaussians.colors,
        camera.camera_from_world[None],
        camera.intrinsics[None],
        camera.width,
        camera.height,
        near_plane=NEAR_M,
        eps2d=COVARIANCE_BLUR_PX2,
        sh_degree=math.isqrt(gaussians.colors.shape[1]) - 1,
        render_mode="RGB+ED",
    )
    return blended[0, ..., :3] + (1.0 - alpha[0]) * background, blended[0, ..., 3]


def gsplat_step(gaussians: Gaussians, camera: Camera, background: Float[Tensor, "h w 3"]) -> None:
    """Forward and backward of the picture, with the same loss as `raster` has for ours."""
    color, depth = gsplat_picture(gaussians, camera, background)
    torch.autograd.backward(color.square().mean() + depth.mean())


def gsplat_torch_projection(gaussians: Gaussians, camera: Camera) -> tuple[Tensor, Tensor, Tensor]:
    """Means in pixels [n, 2], conics [n, 3] and depths [n] by gsplat's projection in plain torch, on any device."""
    from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci

    covariances, _ = _quat_scale_to_covar_preci(gaussians.quats, gaussians.log_scales.exp(), compute_preci=False)
    _, means2d, depths, conics, _ = _fully_fused_projection(
        gaussians.means,
        covariances,
        camera.camera_from_world[None],
        camera.intrinsics[None],
        camera.width,
        camera.height,
        eps2d=COVARIANCE_BLUR_PX2,
        near_plane=NEAR_M,
    )
    return means2d[0], conics[0], depths[0]
