"""A small cloud of Gaussians before a camera, for tests of everything that renders."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from faithfusion.types import Camera, Gaussians
from faithfusion.utils.seed import make_generator

PARAMETERS = ("means", "quats", "log_scales", "opacity_logits", "colors")


def make_camera(width: int, height: int) -> Camera:
    """A turned, shifted camera with its principal point off the centre."""
    intrinsics = torch.tensor([[0.9 * width, 0, 0.52 * width], [0, 0.95 * width, 0.47 * height], [0, 0, 1]])
    pose = torch.eye(4)
    turn = torch.tensor(0.1)
    pose[0, 0], pose[0, 2], pose[2, 0], pose[2, 2] = turn.cos(), turn.sin(), -turn.sin(), turn.cos()
    pose[:3, 3] = torch.tensor([0.3, -0.2, 0.5])
    return Camera(intrinsics, pose, width, height)


def make_gaussians(num: int, *, coefficients: int = 1, opacity_logit: float = 0.0, scale_m: float = 0.15) -> Gaussians:
    """A cloud before the camera; every tenth is behind it or out of sight."""
    generator = make_generator(0, "raster", num, coefficients)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    means = normal(num, 3) * torch.tensor([1.5, 1.0, 1.5]) + torch.tensor([0.3, 0.0, 5.0])
    means[::10, 2] -= 9.0
    means[5::10, 0] += 40.0
    colors = 0.4 * normal(num, coefficients, 3)
    colors[:, 0] += 1.0
    return Gaussians(
        means, normal(num, 4), normal(num, 3) * 0.4 + torch.tensor(scale_m).log(), normal(num) + opacity_logit, colors
    )


def with_gradients(gaussians: Gaussians, dtype: torch.dtype) -> Gaussians:
    leaves = {name: getattr(gaussians, name).detach().to(dtype).requires_grad_() for name in PARAMETERS}
    return Gaussians(**leaves)


def to_float64(camera: Camera) -> Camera:
    return dataclasses.replace(
        camera, intrinsics=camera.intrinsics.double(), world_from_camera=camera.world_from_camera.double()
    )


def relative_error(value: Tensor, truth: Tensor) -> float:
    return float((value.double() - truth).norm() / truth.norm().clamp_min(1e-12))
