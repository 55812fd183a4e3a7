from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from tiny_fixer import pictures, tiny_fixer, warped_window
from tiny_generator import tiny_window

from faithfusion.types import WarpedViews
from faithfusion.utils.errors import InputError
from faithfusion.video.model.conditioning import noise_level
from faithfusion.video.model.fixers.fixer import fixer_inputs
from faithfusion.video.model.mixture import START_WEIGHT, mixture


def test_at_step_0_the_result_is_mostly_the_render_and_nothing_is_added() -> None:
    inputs = fixer_inputs(warped_window())
    result = tiny_fixer()(inputs)
    share = 1.0 - START_WEIGHT
    half = inputs.render.shape[2] // 2
    both = START_WEIGHT * inputs.render + share * inputs.views.mean(1)
    torch.testing.assert_close(result[:, :, half:], both[:, :, half:], atol=1e-5, rtol=0)
    # with one view of two the others share the weight as the logits say: 18 to 1
    one = (18.0 * inputs.render + inputs.views[:, 1]) / 19.0
    torch.testing.assert_close(result[:, :, :half], one[:, :, :half], atol=1e-5, rtol=0)


@pytest.mark.parametrize("views", [None, 2])
def test_without_trusted_views_step_0_is_the_render(views: int | None) -> None:
    window = tiny_window()
    if views:
        warped = warped_window().warped
        window = dataclasses.replace(window, warped=WarpedViews(warped.colors, torch.zeros_like(warped.trust)))
    inputs = fixer_inputs(window)
    assert torch.equal(tiny_fixer()(inputs), inputs.render)


def test_what_lies_under_no_trust_is_never_read() -> None:
    inputs = fixer_inputs(warped_window())
    other = inputs.views.clone()
    other[:, 0, :, : other.shape[3] // 2] = 7.0  # where the first view is not trusted
    fixer = tiny_fixer(trained=True)
    result = fixer(inputs)
    assert torch.equal(fixer(dataclasses.replace(inputs, views=other)), result)
    trusted = inputs.views.clone()
    trusted[:, 0, :, other.shape[3] // 2 :] = 0.5
    assert not torch.equal(fixer(dataclasses.replace(inputs, views=trusted)), result)


def test_the_mixture_is_its_sum_by_hand() -> None:
    random = torch.Generator().manual_seed(0)
    render, views = torch.rand(1, 3, 2, 2, generator=random), torch.rand(1, 2, 3, 2, 2, generator=random)
    trust, logits = torch.tensor([0.0, 1.0, 0.5, 0.2, 1.0, 0.0, 0.3, 0.0]), torch.randn(1, 3, 2, 2, generator=random)
    result = mixture(render, views, trust.reshape(1, 2, 2, 2), logits)
    for y in range(2):
        for x in range(2):
            sources = [render[0, :, y, x], views[0, 0, :, y, x], views[0, 1, :, y, x]]
            given = [1.0, *trust.reshape(2, 2, 2)[:, y, x].tolist()]
            weights = [t * math.exp(logits[0, i, y, x]) for i, t in enumerate(given)]
            expected = sum(w * s for w, s in zip(weights, sources, strict=True)) / sum(weights)
            torch.testing.assert_close(result[0, :, y, x], expected)


def test_every_input_and_every_weight_matters() -> None:
    fixer = tiny_fixer(trained=True).train()
    inputs = fixer_inputs(warped_window())
    leaves = pictures(inputs)
    leaves = {name: value.clone().requires_grad_(True) for name, value in leaves.items()}
    leaves["expected_sq_error"].data += 1e-3  # a root has no slope at 0
    leaves["depth_m"].data += torch.rand(leaves["depth_m"].shape)
    leaves["trust"].data.clamp_min_(0.2)  # log trust has none there either
    fixer(dataclasses.replace(inputs, **leaves)).square().mean().backward()
    assert leaves.pop("references").numel() == 0  # of those it reads none
    for name, value in [*leaves.items(), *fixer.named_parameters()]:
        assert value.grad is not None and torch.isfinite(value.grad).all() and value.grad.abs().max() > 0, name


@pytest.mark.parametrize(("height", "width"), [(16, 16), (19, 34), (3, 50), (1, 1)])
def test_any_size_and_what_fits_is_not_padded(height: int, width: int) -> None:
    inputs = fixer_inputs(warped_window(2, height, width))
    result = tiny_fixer(trained=True)(inputs)
    assert result.shape == inputs.render.shape and torch.isfinite(result).all()


def test_padding_is_by_reflection() -> None:
    fixer, whole = tiny_fixer(trained=True), fixer_inputs(warped_window(1, 16, 16))
    values = pictures(whole)
    cut = dataclasses.replace(whole, **{name: value[..., :15] for name, value in values.items()})
    padded = dataclasses.replace(
        whole, **{name: torch.cat([value[..., :15], value[..., 13:14]], dim=-1) for name, value in values.items()}
    )
    torch.testing.assert_close(fixer(cut), fixer(padded)[..., :15])


def test_more_views_are_left_out_and_missing_ones_are_untrusted() -> None:
    fixer, window = tiny_fixer(trained=True), warped_window(views=3)
    warped = window.warped
    first = dataclasses.replace(window, warped=WarpedViews(warped.colors[:2], warped.trust[:2]))
    assert torch.equal(fixer(fixer_inputs(window)), fixer(fixer_inputs(first)))
    alone = dataclasses.replace(window, warped=WarpedViews(warped.colors[:1], warped.trust[:1]))
    trust = torch.stack([warped.trust[0], torch.zeros_like(warped.trust[0])])
    padded = dataclasses.replace(window, warped=WarpedViews(warped.colors[:2], trust))
    assert torch.equal(fixer(fixer_inputs(alone)), fixer(fixer_inputs(padded)))


def test_the_network_is_told_phi_and_inverse_depth() -> None:
    window, fixer = warped_window(1), tiny_fixer()
    depth = torch.full_like(window.depth, 8.0)
    depth[:, 0], depth[:, 1] = 0.0, 2.0
    inputs = fixer_inputs(dataclasses.replace(window, depth=depth))
    seen: list[torch.Tensor] = []
    fixer.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    fixer(inputs)
    features = torch.nn.functional.pixel_shuffle(seen[0], fixer.config.unshuffle)
    assert features.shape[1] == 3 + 2 * 3 + 2 + 3
    phi = noise_level(window.eig.expected_sq_error, fixer.config.conditioning)
    assert torch.equal(features[:, :3], 2.0 * inputs.render - 1.0)
    torch.testing.assert_close(features[:, -3], phi)
    assert features[0, -1, :3, 0].tolist() == [0.0, 1.0, 0.5], "nothing rendered, nearer than 4 m, 8 m"


def test_the_same_random_state_gives_the_same_fixer() -> None:
    first, second, other = tiny_fixer(0), tiny_fixer(0), tiny_fixer(1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.usefixtures("unchecked")
def test_parts_of_different_size_are_refused() -> None:
    window = warped_window()
    for wrong in (
        dataclasses.replace(window, depth=window.depth[:, :-1]),
        dataclasses.replace(window, warped=WarpedViews(window.warped.colors, window.warped.trust[:, 1:])),
    ):
        with pytest.raises(InputError, match=r"\(5, 32, 48\) as the render"):
            fixer_inputs(wrong)


def test_a_fixer_without_views_reads_the_render_alone() -> None:
    inputs = fixer_inputs(warped_window(1))
    fixer = tiny_fixer(num_views=0)
    assert torch.equal(fixer(inputs), inputs.render)
