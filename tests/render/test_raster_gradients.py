"""The rasteriser against its slow twin, forward and backward."""

from __future__ import annotations

import pytest
import torch
from reference.cloud import PARAMETERS, make_camera, make_gaussians, relative_error, to_float64, with_gradients
from reference.raster import render_reference

from faithfusion.render import render
from faithfusion.utils.seed import make_generator

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
