"""Losses: by hand on small cases, against torchmetrics on large ones, and their gradients."""

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from faithfusion.fit.losses import inverse_depth_loss, l1_loss, photometric_loss, sky_alpha_loss, ssim_loss
from faithfusion.utils.image_math import ssim_map


def test_l1_weights_pixels() -> None:
    image, truth = torch.zeros(2, 2, 3), torch.ones(2, 2, 3)
    weight = torch.tensor([[1.0, 0.0], [0.5, 0.0]])
    assert l1_loss(image, truth, weight) == pytest.approx(1.5 / 4)


def test_structural_similarity_and_its_gradient_are_the_library_ones() -> None:
    """In a size of more than one block of the blur."""
    image, truth = (torch.rand(44, 71, 3, requires_grad=True) for _ in range(2))
    weight = torch.rand(44, 71)
    batches = image.permute(2, 0, 1)[None], truth.permute(2, 0, 1)[None]
    _, full = structural_similarity_index_measure(*batches, data_range=1.0, return_full_image=True)
    torch.testing.assert_close(ssim_map(image, truth), full[0].mean(0), rtol=1e-4, atol=1e-5)
    library = ((1 - full[0].mean(0)) * weight).mean()
    ours = ssim_loss(image, truth, weight)
    torch.testing.assert_close(ours, library)
    for leaf in (image, truth):
        gradients = [torch.autograd.grad(loss, leaf, retain_graph=True)[0] for loss in (ours, library)]
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("ssim_weight", [0.0, 0.2])
def test_pixels_of_weight_zero_give_no_gradient(ssim_weight: float) -> None:
    image = torch.rand(20, 24, 3, requires_grad=True)
    truth = torch.rand(20, 24, 3)
    weight = torch.zeros(20, 24)
    weight[:, :12] = 1
    spoiled = truth.clone()
    spoiled[:, 12:] = 9.0
    losses = [photometric_loss(image, t, weight, ssim_weight) for t in (truth, spoiled)]
    torch.testing.assert_close(*losses)
    (gradient,) = torch.autograd.grad(losses[0], image)
    assert gradient[:, :12].abs().sum() > 0
    if ssim_weight == 0.0:
        assert gradient[:, 12:].abs().sum() == 0


def test_depth_loss_only_at_returns() -> None:
    depth = torch.tensor([[10.0, 20.0, 0.0]], requires_grad=True)
    lidar = torch.tensor([[20.0, 0.0, 5.0]])
    loss = inverse_depth_loss(depth, lidar, torch.ones(1, 3), scale_m=10.0)
    assert loss.item() == pytest.approx(abs(0.5 - 1 / 3))
    loss.backward()
    assert depth.grad[0, 0] < 0 and depth.grad[0, 1] == 0 and depth.grad[0, 2] == 0  # farther is better
    assert inverse_depth_loss(depth, torch.zeros(1, 3), torch.ones(1, 3), scale_m=10.0) == 0


def test_sky_loss_pushes_alpha_to_the_mask() -> None:
    alpha = torch.full((2, 2), 0.5, requires_grad=True)
    sky = torch.tensor([[True, True], [False, False]])
    weight = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    loss = sky_alpha_loss(alpha, sky, weight)
    assert loss.item() == pytest.approx(2 * 0.6931 / 4, rel=1e-3)
    loss.backward()
    assert alpha.grad[0, 0] > 0 > alpha.grad[1, 0]
    assert alpha.grad[0, 1] == 0 == alpha.grad[1, 1]
    assert torch.isfinite(sky_alpha_loss(torch.tensor([[0.0, 1.0]]), torch.tensor([[False, True]]), torch.ones(1, 2)))
