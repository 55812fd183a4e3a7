"""The published baseline against its slow twin, and the properties its description states."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from reference.eig_scene import double_camera, make_camera, make_scene, make_views, to_device, to_double
from reference.published_gain import gain_maps, hits_and_weights, training_squares

from faithfusion.eig.observe import TrainingView
from faithfusion.eig.published import PublishedInformation, hits_per_pixel, published_gain, published_information
from faithfusion.render.render_view import render_view
from faithfusion.types import GaussianScene
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator


def scene_of(num_harmonics: int) -> GaussianScene:
    """12 Gaussians, K coefficients per colour. A colour of number 5 is clamped at 0; number 4 reaches into the image
    from beyond the margin, so the slope in its projection's Jacobian is clamped."""
    scene = make_scene(12)
    noise = torch.randn(12, num_harmonics - 1, 3, generator=make_generator(0, "published test harmonics"))
    gaussians = dataclasses.replace(scene.gaussians, colors=torch.cat([scene.gaussians.colors, 0.4 * noise], 1))
    gaussians.colors[5, 0, 1] = -3.0
    gaussians.means[4] = torch.tensor([2.0, 2.2, 0.1])
    gaussians.quats[4] = torch.tensor([1.0, 0.1, 0.0, 0.0])
    gaussians.log_scales[4] = torch.tensor([0.1, 0.5, 0.1]).log()
    return dataclasses.replace(scene, gaussians=gaussians)


def half_sky_view() -> TrainingView:
    view = make_views(1)[0]
    mask, sky = view.mask.clone(), torch.zeros_like(view.mask)
    mask[:, :4], sky[:9] = False, True
    return dataclasses.replace(view, mask=mask, sky_mask=sky)


@functools.cache
def twin_information(num_harmonics: int) -> torch.Tensor:
    view = half_sky_view()
    counted = (view.mask & ~view.sky_mask).double()
    return training_squares(to_double(scene_of(num_harmonics)), double_camera(view.camera), 0, counted)


def assert_close_columns(found: torch.Tensor, truth: torch.Tensor) -> None:
    """Relative to the largest entry of the same Gaussian's group of parameters (mean, quaternion, ...)."""
    assert found.shape == truth.shape
    for group in (slice(0, 3), slice(3, 7), slice(7, 10), slice(10, 11), slice(11, None)):
        scale = truth[:, group].amax(1, keepdim=True) + 1e-12
        error = (found[:, group].double() - truth[:, group]).abs() / scale
        assert error.max() < 1e-3, (group, error.max())


@pytest.mark.parametrize("num_harmonics", [1, 4])
def test_information_equals_brute_force(num_harmonics: int) -> None:
    truth = twin_information(num_harmonics)
    assert (truth > 0).any(0).all()
    assert truth[4].any()
    assert (truth[5, 11:] == 0).any()
    information = published_information(scene_of(num_harmonics), [half_sky_view()])
    assert_close_columns(information.per_parameter, truth)


def test_hits_count_list_entries_up_to_the_last_blended_one() -> None:
    scene, camera = scene_of(1), make_camera()
    hits, weights, _ = hits_and_weights(to_double(scene), double_camera(camera), 0)
    found = hits_per_pixel(render_view(scene, camera, 0))
    torch.testing.assert_close(found.double(), hits.clamp_min(1e-6))
    assert (hits > (weights > 0).sum(-1)).any()  # entries that were walked past in vain count
    assert (hits == 0).any()


def test_both_maps_equal_brute_force_and_differ() -> None:
    scene, new = scene_of(1), make_camera(0.5)
    information = PublishedInformation(twin_information(1).float())
    code, paper = gain_maps(to_double(scene), twin_information(1), double_camera(new), 0)
    gain = published_gain(scene, information, new, 0)
    torch.testing.assert_close(gain.code.double(), code, rtol=1e-3, atol=1e-8)
    torch.testing.assert_close(gain.paper.double(), paper, rtol=1e-3, atol=1e-8)
    covered = gain.code < 100.0
    ratio = 1000.0 * torch.expm1(gain.code[covered]) / gain.paper[covered]
    assert covered.float().mean() > 0.3
    assert ratio.max() > 2.0 * ratio.min()


def test_the_code_says_100_where_nofaintg_is_and_the_paper_0() -> None:
    scene, (view,) = scene_of(1), make_views(1)
    rendering = render_view(scene, view.camera, 0)
    gain = published_gain(scene, published_information(scene, [view]), view.camera, 0)
    empty = rendering.alpha == 0
    assert empty.any()
    assert (gain.code[empty] == 100.0).all()
    assert (gain.paper[empty] == 0.0).all()
    assert (gain.code[rendering.alpha > 0.2] < 10.0).all()


def test_a_faint_surface_does_not_count_as_empty_because_depth_is_taken_for_opacity() -> None:
    scene, (view,) = scene_of(1), make_views(1)
    information = published_information(scene, [view])
    rendering = render_view(scene, view.camera, 0)
    faint = (rendering.alpha > 0) & (rendering.alpha < 0.1) & (rendering.alpha * rendering.depth > 0.101)
    assert faint.any()
    assert (published_gain(scene, information, view.camera, 0).code[faint] < 100.0).all()


def test_sky_pixels_contribute_nofaintg() -> None:
    scene, (view,) = scene_of(1), make_views(1)
    left = torch.zeros_like(view.mask)
    left[:, :20] = True
    whole, without_left, without_right, nofaintg = (
        published_information(scene, [dataclasses.replace(view, sky_mask=sky)]).per_parameter
        for sky in (None, left, ~left, torch.ones_like(left))
    )
    assert not nofaintg.any()
    assert without_left.any()
    assert without_right.any()
    torch.testing.assert_close(without_left + without_right, whole, rtol=1e-4, atol=1e-4)


def test_views_add_up() -> None:
    scene, views = scene_of(1), make_views(2)
    both = published_information(scene, views).per_parameter
    first, second = (published_information(scene, [view]).per_parameter for view in views)
    assert not torch.allclose(first, second)
    torch.testing.assert_close(both, first + second)


def test_ratios_beyond_float32_stay_finite() -> None:
    scene, (view,) = scene_of(1), make_views(1)
    glaring = dataclasses.replace(scene.gaussians, colors=1e17 * scene.gaussians.colors)
    scene = dataclasses.replace(scene, gaussians=glaring)
    seen = published_information(scene, [view]).per_parameter
    assert seen.isfinite().all()
    assert (1e6 * seen.sum(1)).isinf().any()
    gain = published_gain(scene, published_information(scene, []), view.camera, 0)
    assert gain.code.isfinite().all()
    assert gain.paper.isfinite().all()


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused() -> None:
    scene, (view,) = scene_of(1), make_views(1)
    with pytest.raises(InputError, match="image size"):
        published_information(scene, [dataclasses.replace(view, sky_mask=view.mask[:3])])
    with pytest.raises(InputError, match="parameters"):
        published_gain(scene, published_information(make_scene(3), []), view.camera, 0)


@pytest.mark.gpu
def test_cpu_and_cuda_agree() -> None:
    scene, views = make_scene(500), make_views(3)
    gains = []
    for device in ("cpu", "cuda"):
        moved, moved_views = to_device(scene, views, device)
        information = published_information(moved, moved_views[:2])
        gains.append(published_gain(moved, information, moved_views[2].camera, 0))
    for name in ("code", "paper"):
        cpu, cuda = (getattr(gain, name).cpu() for gain in gains)
        torch.testing.assert_close(cuda, cpu, rtol=2e-3, atol=1e-6)
