"""Views that slide: where they are read, that nothing changes at first, and that a network learns to move them."""

from __future__ import annotations

import pytest
import torch
from reference.slide import slid_by_loops
from tiny_fixer import tiny_fixer, warped_window

from faithfusion.training.widen import can_widen, widen
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator
from faithfusion.video.model.fixers.fixer import FixerInputs, fixer_inputs
from faithfusion.video.model.fixers.pixels import slid


def test_value_and_gradient_equal_the_loops() -> None:
    random = make_generator(0, "slide")
    views = torch.rand(2, 2, 3, 5, 6, generator=random, dtype=torch.float64).requires_grad_()
    offsets = (1.7 * torch.randn(2, 2, 2, 5, 6, generator=random, dtype=torch.float64)).requires_grad_()
    found = slid(views, offsets)
    pairs = zip(views.flatten(0, 1), offsets.flatten(0, 1), strict=True)
    expected = torch.stack([slid_by_loops(*pair) for pair in pairs]).reshape(views.shape)
    torch.testing.assert_close(found, expected)
    pull = torch.randn(found.shape, generator=random, dtype=torch.float64)
    by_loops = torch.autograd.grad((expected * pull).sum(), (views, offsets))
    for ours, slow in zip(torch.autograd.grad((found * pull).sum(), (views, offsets)), by_loops, strict=True):
        torch.testing.assert_close(ours, slow)


def test_a_fixer_starts_to_slide_without_a_new_result() -> None:
    still, inputs = tiny_fixer(trained=True), fixer_inputs(warped_window())
    sliding = tiny_fixer(slide_px=4.0)
    assert can_widen(still.config, sliding.config) and not can_widen(sliding.config, still.config)
    widen(still, sliding)
    torch.testing.assert_close(sliding(inputs), still(inputs), atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        sliding.network.conv_out.weight.normal_(0.0, 0.3, generator=make_generator(1, "slides"))
    more = tiny_fixer(slide_px=4.0, num_views=3)
    assert can_widen(sliding.config, more.config)
    widen(sliding, more)  # the new view is not there, so not trusted
    torch.testing.assert_close(more(inputs), sliding(inputs), atol=1e-5, rtol=1e-5)


def displaced(random: torch.Generator, right_px: int) -> tuple[FixerInputs, torch.Tensor]:
    """Grey renders, a view that stands too far right, and the truth: soft bars."""
    phase, steps = torch.rand(4, 3, 1, 1, generator=random), torch.arange(48) / 12.0
    bars = 0.5 + 0.5 * torch.sin(2.0 * torch.pi * (steps + phase)).expand(4, 3, 16, 48)
    truth, view = bars[..., 8:40], bars[..., 8 - right_px : 40 - right_px]
    flat = torch.zeros(4, 16, 32)
    ones = torch.ones_like(flat)
    views, references = view[:, None], torch.zeros(4, 0, 3, 16, 32)
    grey = torch.full_like(truth, 0.5)
    return FixerInputs(grey, views, ones[:, None], flat + 0.04, ones, 9.0 * ones, references), truth


@pytest.mark.parametrize(("slide_px", "is_found"), [(4.0, True), (0.0, False)])
def test_a_displaced_view_is_found_by_sliding_only(slide_px: float, is_found: bool) -> None:
    """Only the last biases learn, so that nothing can be drawn: what is to be copied, from where, and what to add."""
    random = make_generator(0, "displaced")
    fixer = tiny_fixer(num_views=1, slide_px=slide_px)
    optimiser = torch.optim.Adam([fixer.network.conv_out.bias], lr=0.05)
    for _ in range(120):
        inputs, truth = displaced(random, right_px=2)
        error = (fixer(inputs) - truth)[..., 4:-4].abs().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    assert (error.item() < 0.03) == is_found and (error.item() > 0.2) != is_found


def test_a_negative_slide_is_refused() -> None:
    with pytest.raises(InputError, match="slide_px"):
        tiny_fixer(slide_px=-1.0)
