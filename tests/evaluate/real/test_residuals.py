from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from faithfusion.evaluate.real.residuals import exposed_alike, residual_flow


def textured(height: int = 96, width: int = 144) -> torch.Tensor:
    """Smooth noise, larger than a picture by a margin of 8 pixels a side."""
    noise = torch.rand(1, 3, (height + 16) // 4, (width + 16) // 4)
    return F.interpolate(noise, (height + 16, width + 16), mode="bicubic").clamp(0.0, 1.0)[0].permute(1, 2, 0)


def moved(picture: torch.Tensor, x_px: float, y_px: float) -> torch.Tensor:
    """The middle of a picture, looked at (x_px, y_px) further."""
    height, width = picture.shape[0] - 16, picture.shape[1] - 16
    v, u = torch.meshgrid(torch.arange(height) + 8.5 + y_px, torch.arange(width) + 8.5 + x_px, indexing="ij")
    grid = torch.stack([u / picture.shape[1], v / picture.shape[0]], -1) * 2.0 - 1.0
    return F.grid_sample(picture.permute(2, 0, 1)[None], grid[None], align_corners=False)[0].permute(1, 2, 0)


@pytest.mark.parametrize(("x_px", "y_px"), [(0.0, 0.0), (0.6, -0.4), (-1.3, 0.8)])
def test_a_displacement_is_found_whatever_the_exposure(x_px: float, y_px: float) -> None:
    picture = textured()
    flow = residual_flow(0.8 * moved(picture, x_px, y_px) + 0.1, 0.8 * moved(picture, 0.0, 0.0))
    assert len(flow) >= 20  # of 24 tiles
    torch.testing.assert_close(flow.median(0).values, torch.tensor([x_px, y_px]), atol=0.05, rtol=0)


def test_pictures_without_texture_say_nothing() -> None:
    assert len(residual_flow(torch.full((96, 96, 3), 0.5), torch.full((96, 96, 3), 0.4))) == 0


def test_the_best_gain_is_found_where_the_mask_is() -> None:
    image = textured()
    mask = torch.ones(image.shape[:2], dtype=torch.bool)
    mask[:10] = False
    render = image / torch.tensor([1.2, 1.0, 0.9])
    render[:10] = 0.0
    better, gain = exposed_alike(render, image, mask)
    torch.testing.assert_close(better[mask], image[mask])
    torch.testing.assert_close(gain.exp(), torch.tensor([1.2, 1.0, 0.9]))
