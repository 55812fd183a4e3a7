"""Small scenes for the tests of files of Gaussians, and how far two of them are apart when rendered."""

from __future__ import annotations

import dataclasses

import torch
from reference.cloud import make_camera, make_gaussians

from faithfusion.render import render
from faithfusion.types import Gaussians
from faithfusion.utils.image_math import psnr_db

DEGREES = (1, 4, 9, 16)


def splat_cloud(coefficients: int, num: int = 900) -> Gaussians:
    """A cloud whose harmonics stay inside [-1, 1], as those of trained scenes nearly do."""
    gaussians = make_gaussians(num, coefficients=coefficients, scale_m=0.08)
    rest = (0.4 * gaussians.colors[:, 1:]).clamp(-1.0, 1.0)
    return dataclasses.replace(gaussians, colors=torch.cat([gaussians.colors[:, :1], rest], dim=1))


def image_of(gaussians: Gaussians) -> torch.Tensor:
    """The cloud on grey, 96x64."""
    return render(gaussians, make_camera(96, 64), torch.full((64, 96, 3), 0.3), backend="warp").color


def image_error(gaussians: Gaussians, other: Gaussians) -> tuple[float, float]:
    """(largest absolute difference, PSNR in dB) of the two renderings."""
    one, two = image_of(gaussians), image_of(other)
    return float((one - two).abs().max()), psnr_db(one, two)
