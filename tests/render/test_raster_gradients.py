"""The rasteriser against its slow twin, forward and backward."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from reference.raster import render_reference
from torch import Tensor

from faithfusion.render import render
from faithfusion.types import Camera, Gaussians
from faithfusion.utils.seed import make_generator

PARAMETERS = ("means", "quats", "log_scales", "opacity_logits", "colors")


def make_camera(width: int, height: int) -> Camera:
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
        means,
        normal(num, 4),
        scale_m**1.0 * 0 + normal(num, 3) * 0.4 + torch.tensor(scale_m).log(),
        normal(num) + opacity_logit,
        colors,
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


CASES = {
    "degree 0": (dict(num=60), (48, 32)),
    "degree 1": (dict(num=60, coefficients=4), (48, 32)),
    "degree 2": (dict(num=60, coefficients=9), (48, 32)),
    "degree 3": (dict(num=60, coefficients=16), (48, 32)),
    "odd size": (dict(num=80, coefficients=4), (53, 37)),
    "smaller than a tile": (dict(num=40), (7, 5)),
    "opaque stack": (dict(num=300, opacity_logit=4.0, scale_m=0.4), (40, 24)),
    "thin": (dict(num=60, scale_m=0.01), (48, 32)),
}


@pytest.mark.parametrize("case", CASES)
def test_images_and_gradients_equal_the_twin(case: str) -> None:
    arguments, (width, height) = CASES[case]
    gaussians, camera = make_gaussians(**arguments), make_camera(width, height)
    generator = make_generator(1, case)
    background = torch.rand(height, width, 3, generator=generator)
    weights = [torch.randn(height, width, *last, generator=generator) for last in ((3,), (), ())]

    fast, fast_background = with_gradients(gaussians, torch.float32), background.clone().requires_grad_()
    rendering = render(fast, camera, fast_background, backend="warp")
    images = (rendering.color, rendering.depth, rendering.alpha)
    sum((image * weight).sum() for image, weight in zip(images, weights, strict=True)).backward()

    slow, slow_background = with_gradients(gaussians, torch.float64), background.double().requires_grad_()
    truths = render_reference(slow, to_float64(camera), slow_background)
    sum((image * weight).sum() for image, weight in zip(truths, weights, strict=True)).backward()

    for image, truth in zip(images, truths, strict=True):
        assert relative_error(image.detach(), truth.detach()) < 1e-5
    assert relative_error(fast_background.grad, slow_background.grad) < 1e-5
    for name in PARAMETERS:
        assert relative_error(getattr(fast, name).grad, getattr(slow, name).grad) < 1e-4, name
