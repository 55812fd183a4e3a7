from __future__ import annotations

import dataclasses
import itertools
from importlib.util import find_spec

import pytest
import torch
from reference.neighbours import bilinear, place_in_neighbour
from tiny_fixer import moving_window, pictures, tiny_fixer, warped_window
from tiny_training import fixed_generator

from faithfusion.evaluate.metrics.perceptual import stage_features
from faithfusion.training.data import FixerBatch
from faithfusion.training.fixer import FixerMethod, distances, flicker_of_errors, partly_repaired, recolored
from faithfusion.training.method_config import FixerMethodConfig
from faithfusion.utils.image_math import ssim_map
from faithfusion.utils.mobilenet import PACKAGE, feature_distance, open_mobilenet
from faithfusion.video.model.conditioning import noise_level
from faithfusion.video.model.fixers.fixer import fixer_inputs


def batch(frames: int = 2) -> FixerBatch:
    window = warped_window(frames)
    inputs = dataclasses.replace(fixer_inputs(window), num_frames=1)
    return FixerBatch(inputs, window.truth.permute(0, 3, 1, 2))


def clips() -> FixerBatch:
    """Two clips of three frames."""
    window = moving_window(6)
    inputs = dataclasses.replace(fixer_inputs(window), num_frames=3)
    return FixerBatch(inputs, window.truth.permute(0, 3, 1, 2))


def test_loss_falls_on_one_window() -> None:
    method = FixerMethod(FixerMethodConfig(render_mix=0.0), tiny_fixer())
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-2)
    losses, values = [], {}
    for _ in range(60):
        loss, values = method(batch(), fixed_generator())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    # its views are the truth with little noise, trusted in the lower half at least one: it learns to copy them
    assert values["psnr_db"] > values["render_psnr_db"] + 6.0


def test_all_of_the_fixer_is_trained_under_its_own_names() -> None:
    fixer = tiny_fixer()
    method = FixerMethod(FixerMethodConfig(), fixer)
    assert dict(method.named_parameters()).keys() == dict(fixer.named_parameters()).keys()
    assert all(parameter.requires_grad for parameter in method.parameters())


def test_distances_by_hand() -> None:
    random = fixed_generator()
    result, truth = torch.rand(2, 3, 7, 9, generator=random), torch.rand(2, 3, 7, 9, generator=random)
    weight = 1.0 + torch.rand(2, 7, 9, generator=random)
    found = distances(result, truth, weight, 0.1)
    color = ssim = right = below = 0.0
    right_weight = below_weight = 0.0
    for n in range(2):
        images = [image[n].permute(1, 2, 0) for image in (result, truth)]
        similarity, error = ssim_map(*images), images[0] - images[1]
        for y in range(7):
            for x in range(9):
                w = weight[n, y, x]
                color += w * (((error[y, x] ** 2 + 0.01) ** 0.5).mean() - 0.1)
                ssim += w * (1.0 - similarity[y, x])
                if x:
                    right += w * (error[y, x] - error[y, x - 1]).abs().mean()
                    right_weight += w
                if y:
                    below += w * (error[y, x] - error[y - 1, x]).abs().mean()
                    below_weight += w
    torch.testing.assert_close(found["color"], color / weight.sum())
    torch.testing.assert_close(found["ssim"], ssim / weight.sum())
    torch.testing.assert_close(found["gradient"], right / right_weight + below / below_weight)


def test_features_are_one_more_term_and_are_not_trained() -> None:
    if find_spec(PACKAGE) is None:
        pytest.skip("needs the extra `metrics`")
    data, config = batch(), FixerMethodConfig(render_mix=0.0, phi_weight=2.0)
    fixer = tiny_fixer(trained=True)
    plain, _ = FixerMethod(config, fixer)(data, fixed_generator())
    method = FixerMethod(dataclasses.replace(config, feature_weight=0.3), fixer)
    loss, values = method(data, fixed_generator())
    weight = 1.0 + 2.0 * noise_level(data.inputs.expected_sq_error, fixer.config.conditioning)
    result = fixer(data.inputs)
    images = (image.permute(0, 2, 3, 1) for image in (result.detach(), data.truth))
    features = (stage_features(open_mobilenet(), image) for image in images)
    assert values["feature"].item() == pytest.approx(float(feature_distance(*features, weight)), rel=1e-4)
    torch.testing.assert_close(loss, plain + 0.3 * values["feature"])
    assert dict(method.named_parameters()).keys() == dict(fixer.named_parameters()).keys()
    loss.backward()
    assert all(parameter.grad is not None for parameter in method.parameters())


def test_the_loss_is_the_weighted_sum_and_phi_raises_the_weight_of_its_pixels() -> None:
    data = batch()
    data.inputs.render[..., :40] = data.truth[..., :40]  # wrong only where the expected error is largest
    data.inputs.trust.zero_()
    losses = {}
    for phi_weight in (0.0, 10.0):
        config = FixerMethodConfig(render_mix=0.0, phi_weight=phi_weight, ssim_weight=0.3, gradient_weight=0.7)
        loss, values = FixerMethod(config, tiny_fixer())(data, fixed_generator())
        torch.testing.assert_close(loss, values["color"] + 0.3 * values["ssim"] + 0.7 * values["gradient"])
        losses[phi_weight] = loss.item()
    assert losses[10.0] > 1.2 * losses[0.0]


def test_some_renders_move_towards_the_truth_with_their_expected_error() -> None:
    data = batch(1)
    repeated = dataclasses.replace(
        data.inputs, **{name: value.expand(400, *value.shape[1:]) for name, value in pictures(data.inputs).items()}
    )
    many = FixerBatch(repeated, data.truth.expand(400, -1, -1, -1))
    config = FixerMethodConfig(render_mix=0.5, render_mix_max=0.4)
    moved = partly_repaired(many, config, fixed_generator())
    before, after = (b.inputs.render - b.truth for b in (many, moved))
    part = 1.0 - after.flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)
    changed = part > 1e-6
    assert 150 < changed.sum() < 250 and part.max() <= 0.4 and 0.15 < part[changed].mean() < 0.25
    expected = many.inputs.expected_sq_error * (1.0 - part)[:, None, None].square()
    torch.testing.assert_close(moved.inputs.expected_sq_error, expected, rtol=1e-4, atol=1e-8)
    assert torch.equal(moved.inputs.views, many.inputs.views) and torch.equal(moved.truth, many.truth)


def test_flicker_is_what_changes_of_the_error_on_a_surface_by_hand() -> None:
    data = clips()
    random = fixed_generator()
    error, weight = torch.rand(6, 3, 32, 48, generator=random), torch.rand(6, 32, 48, generator=random)
    found = flicker_of_errors(error, data.inputs, weight)
    total = weights = 0.0
    for frame in (0, 1, 3, 4):
        for row in range(32):
            for column in range(48):
                depth, poses = data.inputs.depth_m, data.inputs.poses
                x, y, is_shown = place_in_neighbour(depth, poses, frame, frame + 1, 1, row, column)
                if is_shown:
                    change = bilinear(error[frame + 1], x - 0.5, y - 0.5) - error[frame, :, row, column]
                    total += float(weight[frame, row, column] * change.abs().mean())
                    weights += float(weight[frame, row, column])
    assert found.item() == pytest.approx(total / weights, rel=1e-3)


def test_all_frames_of_a_clip_change_alike() -> None:
    data = clips()
    config = FixerMethodConfig(render_mix=1.0, recolor=1.0, crop_frames=3)
    moved = partly_repaired(data, config, fixed_generator())
    part = (moved.inputs.render - data.inputs.render) / (data.truth - data.inputs.render)
    parts = part.flatten(1).median(1).values
    assert torch.allclose(parts, parts[[0, 0, 0, 3, 3, 3]], atol=1e-4) and not torch.isclose(parts[0], parts[3])
    colored = recolored(data, config, fixed_generator())
    for clip in (slice(0, 3), slice(3, 6)):
        fits = [
            min((fit(a, b, order, sign)[-1], order, sign) for order in ORDERS for sign in (1, -1))[1:]
            for a, b in zip(data.truth[clip], colored.truth[clip], strict=True)
        ]
        assert len(set(fits)) == 1


def test_a_video_fixer_learns_with_the_flicker_of_its_errors() -> None:
    data, fixer = clips(), tiny_fixer(channels=(8, 8, 16, 16), reach=1)
    config = FixerMethodConfig(model=fixer.config, render_mix=0.0, crop_frames=3, flicker_weight=0.5)
    plain = FixerMethod(dataclasses.replace(config, flicker_weight=0.0), fixer)(data, fixed_generator())[0]
    method = FixerMethod(config, fixer)
    loss, values = method(data, fixed_generator())
    torch.testing.assert_close(loss, plain + 0.5 * values["flicker"])
    optimizer, losses = torch.optim.AdamW(method.parameters(), lr=5e-3), []
    for _ in range(30):
        loss, _ = method(data, fixed_generator())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all(attention.to_out.weight.abs().max() > 0 for attention in fixer.network.neighbours.values())


def test_distances_are_exact_where_the_network_is_in_half_precision() -> None:
    data = batch()
    data.inputs.trust.zero_()  # at step 0 the result is the render, whatever the precision
    data.inputs.render.mul_(0.01).add_(0.8)
    data.truth.mul_(0.01).add_(0.8)
    method = FixerMethod(FixerMethodConfig(render_mix=0.0), tiny_fixer())
    _, exact = method(data, fixed_generator())
    with torch.autocast("cpu", torch.bfloat16):
        _, half = method(data, fixed_generator())
    assert {name: value.item() for name, value in half.items()} == {name: v.item() for name, v in exact.items()}


def test_recolored_samples_change_all_pictures_alike() -> None:
    before, config = batch(40), FixerMethodConfig(recolor=0.5)
    after = recolored(before, config, fixed_generator())
    changed, seen = 0, set()
    for n in range(40):
        truth, result = before.truth[n], after.truth[n]
        fits = [(order, sign, *fit(truth, result, order, sign)) for order in ORDERS for sign in (1, -1)]
        order, sign, factor, error = min(fits, key=lambda found: found[-1])
        assert error < 1e-5 and (factor == pytest.approx(1.0) or config.recolor_darkest <= factor <= 1.0)
        seen.add((order, sign))
        changed += (order, sign, round(factor, 5)) != (ORDERS[0], 1, 1.0)
        for name in ("render", "views", "references"):
            image = getattr(before.inputs, name)[n][..., list(order), :, :]
            expected = factor * (image if sign > 0 else 1.0 - image)
            torch.testing.assert_close(getattr(after.inputs, name)[n], expected)
        error = factor**2 * before.inputs.expected_sq_error[n]
        torch.testing.assert_close(after.inputs.expected_sq_error[n], error)
        assert torch.equal(after.inputs.trust[n], before.inputs.trust[n])
    assert 10 <= changed <= 30 and len(seen) > 6
    assert recolored(before, FixerMethodConfig(), fixed_generator()) is before


ORDERS = tuple(itertools.permutations(range(3)))


def fit(truth: torch.Tensor, result: torch.Tensor, order: tuple[int, ...], sign: int) -> tuple[float, float]:
    """The factor that brings exchanged (and inverted) channels of `truth` closest to `result`, and what is left."""
    image = truth[list(order)] if sign > 0 else 1.0 - truth[list(order)]
    factor = float((image * result).sum() / image.square().sum())
    return factor, float((factor * image - result).abs().max())
