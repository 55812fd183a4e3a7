"""Exposure of the pictures: cameras adapt, the scene does not.

A picture is exp(log_gain) * scene + offset per channel: the affine colour correction of Urban Radiance Fields (Rematas
et al. 2022), restricted to a diagonal. Blending is linear and its weights sum to 1 with the background, so exposing the
colours of the Gaussians and of the sky exposes the picture exactly (but for Gaussians clipped at black), and what EIG
reads from a rendering stays consistent with it.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.types import Camera, Exposure, Gaussians
from faithfusion.utils.harmonics import SH_0


def exposure_of(exposure: Exposure | None, camera: Camera, time_index: int) -> tuple[Tensor, Tensor] | None:
    """(gain [3], offset [3]) of a camera's picture; None if the scene does not know that camera or time stamp."""
    if exposure is None or camera.name not in exposure.camera_names or time_index >= exposure.log_gains.shape[1]:
        return None
    index = exposure.camera_names.index(camera.name)
    return exposure.log_gains[index, time_index].exp(), exposure.offsets[index, time_index]


def expose(
    gaussians: Gaussians, background: Float[Tensor, "h w 3"], gain: Float[Tensor, 3], offset: Float[Tensor, 3]
) -> tuple[Gaussians, Float[Tensor, "h w 3"]]:
    """Gaussians and background as a camera with that exposure sees them; differentiable in everything."""
    shift = (0.5 * (gain - 1.0) + offset) / SH_0  # rgb = 0.5 + SH_0 c_0 + ...
    colors = torch.cat([gaussians.colors[:, :1] * gain + shift, gaussians.colors[:, 1:] * gain], dim=1)
    return dataclasses.replace(gaussians, colors=colors), background * gain + offset
