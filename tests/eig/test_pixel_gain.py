"""Proof obligations 3, 4 and 5: H and V against brute force, the trace identity, monotony, CPU = CUDA."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from reference.eig_bruteforce import block_information, color_jacobian, color_jacobian_at, pixel_covariance
from reference.eig_scene import double_camera, make_camera, make_scene, make_views, to_device, to_double
from reference.view_gain import view_gain

from faithfusion.eig.config import EigConfig
from faithfusion.eig.dense_blocks import dense_precision
from faithfusion.eig.observe import TrainingView
from faithfusion.eig.pixel_gain import eig_map, information_gain
from faithfusion.eig.posterior import Posterior, fit_posterior, prior_precision
from faithfusion.eig.variance_polynomials import posterior_roots
from faithfusion.scene.sky import sky_background
from faithfusion.types import Gaussians, GaussianScene, Sky
from faithfusion.utils.errors import InputError

CONFIG = EigConfig(pixels_per_observation=1.0)


@functools.cache
def brute_jacobian(shift_m: float) -> torch.Tensor:
    exact, camera = to_double(make_scene()), double_camera(make_camera(shift_m))
    return color_jacobian(exact, camera, 0, sky_background(exact.sky, camera))


def known_sky(posterior: Posterior) -> Posterior:
    """The same posterior with no uncertainty of the sky."""
    return dataclasses.replace(posterior, sky_precision=torch.full_like(posterior.sky_precision, 1e20))


@pytest.mark.parametrize("kind", ["block", "diag"])
def test_posterior_and_gain_equal_brute_force(kind: str) -> None:
    scene, config = make_scene(), dataclasses.replace(CONFIG, posterior=kind)
    train, new = make_camera(), make_camera(0.5)
    mask = torch.ones(train.height, train.width, dtype=torch.bool)
    mask[:9] = False
    posterior = fit_posterior(scene, [TrainingView(train, 0, mask)], config)
    information = block_information(brute_jacobian(0.0), mask.double()) / config.noise_std**2
    truth = information + torch.diag_embed(prior_precision(scene.gaussians, config).double())
    if kind == "diag":
        truth = torch.diag_embed(truth.diagonal(dim1=1, dim2=2))
    scale = truth.diagonal(dim1=1, dim2=2).sqrt()
    error = (dense_precision(posterior.precision) - truth) / (scale[:, :, None] * scale[:, None])
    assert error.abs().max() < 1e-4
    covariance = pixel_covariance(brute_jacobian(0.5), truth)
    gain, rendering = eig_map(scene, known_sky(posterior), new, 0)
    assert (gain.predictive_variance - covariance.diagonal(dim1=2, dim2=3).mean(-1)).norm() < 1e-3 * covariance.norm()
    exact = 0.5 * torch.logdet(torch.eye(3) + covariance / config.noise_std**2)
    torch.testing.assert_close(gain.eig_nats.double(), exact, atol=1e-4, rtol=1e-3)
    assert torch.equal(gain.alpha, rendering.alpha)


@pytest.mark.parametrize("length_px", [60.0, 200.0])
def test_thin_gaussians_across_the_pixel_grid_keep_their_precision(length_px: float) -> None:
    """Gaussians of 1 pixel by many, at several angles, one over the other, in a picture of 1920 x 1280."""
    scene, camera = thin_scene(length_px), make_camera(width=1920, height=1280)
    camera = dataclasses.replace(camera, intrinsics=torch.tensor([[1000.0, 0, 960], [0, 1000, 640], [0, 0, 1]]))
    whole = torch.ones(camera.height, camera.width, dtype=torch.bool)
    posterior = fit_posterior(scene, [TrainingView(camera, 0, whole)], CONFIG)
    gain, rendering = eig_map(scene, known_sky(posterior), camera, 0)

    exact, row = to_double(scene), torch.nonzero(rendering.alpha > 0)
    background = sky_background(exact.sky, double_camera(camera))[row[:, 0], row[:, 1]]
    jacobian = color_jacobian_at(exact, double_camera(camera), row.flip(1).double() + 0.5, background)
    truth = block_information(jacobian, torch.ones(jacobian.shape[:2]).double()) / CONFIG.noise_std**2
    truth += torch.diag_embed(prior_precision(scene.gaussians, CONFIG).double())
    scale = truth.diagonal(dim1=1, dim2=2).sqrt()
    error = (dense_precision(posterior.precision) - truth) / (scale[:, :, None] * scale[:, None])
    assert error.abs().max() < 1e-3
    covariance = pixel_covariance(jacobian, truth)[0]
    nats = 0.5 * torch.logdet(torch.eye(3) + covariance / CONFIG.noise_std**2)
    found = gain.eig_nats[row[:, 0], row[:, 1]].double()
    assert (found - nats).norm() < 1e-3 * nats.norm()
    differs = (found - nats).abs() > 1e-3 * nats.max()  # a Gaussian of alpha 1/255 there may be in one and not in both
    assert differs.double().mean() < 3e-4


def thin_scene(length_px: float) -> GaussianScene:
    """Four flat Gaussians 5 m ahead of a camera whose focal length is 1000 pixels, turned in the image plane."""
    angles = torch.tensor([0.3, 0.25, 0.5, 0.75]) * torch.pi
    quats = torch.stack([(angles / 2).cos(), (angles / 2).sin(), torch.zeros(4), torch.zeros(4)], -1)
    scales = torch.tensor([0.005, 0.005 * length_px, 0.005]).expand(4, 3)
    means = torch.tensor([[5.0, 0.0, 0.0], [5.2, 0.3, 0.1], [5.4, -0.2, 0.2], [5.6, 0.1, -0.1]])
    colors = torch.linspace(-0.8, 0.9, 12).reshape(4, 1, 3)
    gaussians = Gaussians(means, quats, scales.log(), torch.tensor([1.0, 0.5, 2.0, 0.0]), colors)
    sky = Sky(torch.linspace(0.2, 0.7, 8 * 16 * 3).reshape(8, 16, 3))
    return GaussianScene(gaussians, torch.zeros(4, dtype=torch.int32), (), sky)


def test_what_is_not_a_number_is_refused_and_not_called_known() -> None:
    scene, (view,) = make_scene(), make_views(1)
    posterior = fit_posterior(scene, [view], CONFIG)
    posterior.precision[3] = torch.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        eig_map(scene, posterior, view.camera, 0)


def test_a_block_that_is_not_positive_is_mended() -> None:
    """Sums in float32 that lost a direction: no direction may be known worse than before any image."""
    scene, (view,) = make_scene(), make_views(1)
    prior = prior_precision(scene.gaussians, CONFIG)
    posterior = fit_posterior(scene, [view], CONFIG)
    dense = dense_precision(posterior.precision)
    dense[5, 2, 3] = dense[5, 3, 2] = 3.0 * (dense[5, 2, 2] * dense[5, 3, 3]).sqrt()
    row, column = torch.triu_indices(13, 13)
    posterior.precision[5] = dense[5, row, column]
    root = torch.zeros(13, 13, dtype=torch.float64)
    root[tuple(torch.tril_indices(13, 13))] = posterior_roots(scene, posterior)[5].double()
    covariance = root.mT @ root * (prior[5].sqrt()[:, None] * prior[5].sqrt())
    assert torch.linalg.eigvalsh(covariance).max() < 1.0 + 1e-6


def test_trace_over_pixels_equals_trace_over_gaussians() -> None:
    scene, (train, new) = make_scene(), make_views(2)
    posterior = fit_posterior(scene, [train], CONFIG)
    gain, _ = eig_map(scene, known_sky(posterior), new.camera, 0)
    over_pixels = 3.0 * gain.predictive_variance.double().sum() / (2 * CONFIG.noise_std**2)
    logdet, trace = view_gain(scene, posterior, new)
    assert float(trace.sum()) == pytest.approx(float(over_pixels), rel=1e-4)
    assert (gain.eig_nats <= 1.5 * gain.predictive_variance / CONFIG.noise_std**2 + 1e-4).all()
    assert (logdet <= trace + 1e-6).all()
    assert (logdet >= 0).all()


@pytest.mark.parametrize("kind", ["block", "diag"])
def test_gain_falls_when_the_view_is_added_and_vanishes_when_it_is_repeated(kind: str) -> None:
    scene, views, config = make_scene(), make_views(2), dataclasses.replace(CONFIG, posterior=kind)
    new = views[1].camera
    before, _ = eig_map(scene, fit_posterior(scene, views[:1], config), new, 0)
    after, _ = eig_map(scene, fit_posterior(scene, views, config), new, 0)
    assert (after.eig_nats <= before.eig_nats + 1e-5).all()
    assert after.eig_nats.mean() < 0.8 * before.eig_nats.mean()
    seen = fit_posterior(scene, views[1:], dataclasses.replace(config, pixels_per_observation=0.001))
    repeated, _ = eig_map(scene, seen, new, 0)
    assert repeated.eig_nats.max() < 0.05
    assert repeated.eig_nats.mean() < 0.01


def test_an_unseen_empty_pixel_has_the_prior_variance_of_a_colour_and_a_seen_one_does_not() -> None:
    scene, (view,) = make_scene(), make_views(1)
    empty = dataclasses.replace(scene.gaussians, opacity_logits=torch.full((20,), -1e4))
    scene = dataclasses.replace(scene, gaussians=empty)
    unseen = fit_posterior(scene, [dataclasses.replace(view, mask=torch.zeros_like(view.mask))], CONFIG)
    gain, _ = eig_map(scene, unseen, view.camera, 0)
    torch.testing.assert_close(gain.predictive_variance, torch.full_like(gain.alpha, CONFIG.prior_color**2))
    expected = 1.5 * torch.log1p(torch.tensor(CONFIG.prior_color / CONFIG.noise_std) ** 2)
    torch.testing.assert_close(gain.eig_nats, expected.expand_as(gain.alpha), rtol=1e-4, atol=1e-4)
    seen, _ = eig_map(scene, fit_posterior(scene, [view], CONFIG), view.camera, 0)
    assert seen.eig_nats.max() < 0.5 * expected


def test_sky_pixels_inform_the_sky_only() -> None:
    scene, (view,) = make_scene(), make_views(1)
    all_sky = dataclasses.replace(view, sky_mask=torch.ones_like(view.mask))
    posterior, prior = fit_posterior(scene, [all_sky], CONFIG), fit_posterior(scene, [], CONFIG)
    assert torch.equal(posterior.precision, prior.precision)
    assert (posterior.sky_precision > prior.sky_precision).any()
    assert (posterior.sky_precision >= prior.sky_precision).all()


def test_a_node_is_learned_in_its_own_frame() -> None:
    """The same relative view of a car that has moved tells the same about the car's Gaussians."""
    scene, (view,) = make_scene(), make_views(1)
    node, shift = scene.nodes[0], torch.eye(4)
    shift[:3, 3] = torch.tensor([3.0, -7.0, 0.5])
    poses = torch.cat([node.world_from_node, shift @ node.world_from_node])
    node = dataclasses.replace(node, time_indices=torch.tensor([0, 1]), world_from_node=poses)
    hidden = torch.where(scene.node_ids == 1, scene.gaussians.opacity_logits, -1e4)
    gaussians = dataclasses.replace(scene.gaussians, opacity_logits=hidden)
    scene = dataclasses.replace(scene, gaussians=gaussians, nodes=(node,))
    moved = dataclasses.replace(view.camera, world_from_camera=shift @ view.camera.world_from_camera)
    first = fit_posterior(scene, [view], CONFIG).precision
    second = fit_posterior(scene, [dataclasses.replace(view, camera=moved, time_index=1)], CONFIG).precision
    assert first[scene.node_ids == 1].max() > 1e4
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-2)


def test_information_gain_is_the_log_determinant_and_never_negative() -> None:
    root = torch.randn(50, 3, 3, dtype=torch.float64)
    matrix = root @ root.mT
    packed = matrix.flatten(1)[:, [0, 1, 2, 4, 5, 8]]
    truth = 0.5 * torch.logdet(torch.eye(3) + matrix)
    noise_std, isotropic = 0.1, torch.full((5, 10), 0.3)
    variance = noise_std**2 * packed.float().reshape(5, 10, 6)
    variance[..., [0, 3, 5]] -= isotropic[..., None]
    gain, mean_variance = information_gain(variance, isotropic, noise_std)
    torch.testing.assert_close(gain, truth.float().reshape(5, 10), rtol=1e-3, atol=1e-4)
    trace = noise_std**2 * matrix.diagonal(dim1=1, dim2=2).mean(1).float()
    torch.testing.assert_close(mean_variance, trace.reshape(5, 10), rtol=1e-3, atol=1e-6)
    negative = torch.tensor([[[-1e-3, 0.0, 0.0, -1e-3, 0.0, 1e-9]]])
    gain, mean_variance = information_gain(negative, torch.zeros(1, 1), noise_std)
    assert gain.min() >= 0
    assert mean_variance.min() >= 0


def test_bad_input_is_refused() -> None:
    scene, (view,) = make_scene(), make_views(1)
    with pytest.raises(InputError, match="image size"):
        fit_posterior(scene, [dataclasses.replace(view, mask=torch.ones(3, 3, dtype=torch.bool))], CONFIG)
    with pytest.raises(InputError, match="noise_std"):
        EigConfig(noise_std=0.0)
    with pytest.raises(InputError, match="posterior"):
        eig_map(scene, fit_posterior(make_scene(7), [], CONFIG), view.camera, 0)


@pytest.mark.gpu
def test_cpu_and_cuda_agree() -> None:
    scene, views = make_scene(500), make_views(3)
    gains = []
    for device in ("cpu", "cuda"):
        moved, moved_views = to_device(scene, views, device)
        posterior = fit_posterior(moved, moved_views[:2], CONFIG)
        gains.append(eig_map(moved, posterior, moved_views[2].camera, 0)[0].eig_nats.cpu())
    torch.testing.assert_close(gains[0], gains[1], rtol=1e-3, atol=1e-3)
