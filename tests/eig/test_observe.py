"""Measured noise and discrepancy against slow twins over whole Jacobians in float64."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from reference.eig_bruteforce import block_information, color_jacobian, node_poses, world_gaussians
from reference.eig_scene import double_camera, make_camera, make_scene, make_views, to_double
from reference.raster import render_reference

from faithfusion.eig.config import EigConfig
from faithfusion.eig.dense_blocks import dense_precision
from faithfusion.eig.observe import TrainingView, view_information
from faithfusion.eig.pixel_gain import eig_map
from faithfusion.eig.posterior import Posterior, fit_posterior, prior_precision
from faithfusion.scene.sky import sky_background
from faithfusion.types import GaussianScene, Sky
from faithfusion.utils.errors import InputError

CONFIG = EigConfig(pixels_per_observation=3.0)
Y_0 = 0.28209479177387814


def photographed(view: TrainingView) -> TrainingView:
    """The view with an image that departs from the render, a lot at the left and little at the right."""
    generator = torch.Generator().manual_seed(5)
    height, width = view.mask.shape
    noise = torch.rand(height, width, 3, generator=generator) * torch.linspace(0.6, 0.05, width)[None, :, None]
    return dataclasses.replace(view, image=noise)


def exact_render(scene: GaussianScene, view: TrainingView) -> tuple[torch.Tensor, torch.Tensor]:
    """Colour and alpha of the reference renderer."""
    exact, camera = to_double(scene), double_camera(view.camera)
    world = world_gaussians(exact, node_poses(exact, view.time_index))
    color, _, alpha = render_reference(world, camera, sky_background(exact.sky, camera))
    return color, alpha


def sq_residual(scene: GaussianScene, view: TrainingView) -> torch.Tensor:
    color, _ = exact_render(scene, view)
    return torch.where(view.mask, (color.clamp(0, 1) - view.image.double()).square().mean(-1), 0.0)


def pixel_noise(residual: torch.Tensor) -> torch.Tensor:
    """sigma^2 plus the mean over the neighbours that exist, pixel by pixel."""
    height, width = residual.shape
    noise = torch.zeros_like(residual)
    for y in range(height):
        for x in range(width):
            window = residual[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            noise[y, x] = CONFIG.noise_std**2 + window.mean()
    return noise


def blending_weights(scene: GaussianScene, view: TrainingView) -> torch.Tensor:
    """w_pk [h, w, n]: what a step of the red DC term does to red; no colour of the scene is clamped."""
    exact, camera = to_double(scene), double_camera(view.camera)
    jacobian = color_jacobian(exact, camera, view.time_index, sky_background(exact.sky, camera))
    return jacobian[..., 0, :, 10] / Y_0


def dull(scene: GaussianScene) -> GaussianScene:
    """Colours far from the clamp at 0."""
    return dataclasses.replace(
        scene, gaussians=dataclasses.replace(scene.gaussians, colors=0.5 * scene.gaussians.colors)
    )


def masked_view() -> TrainingView:
    (view,) = make_views(1)
    mask = view.mask.clone()
    mask[:6] = False
    return photographed(dataclasses.replace(view, mask=mask))


def test_a_pixel_counts_by_its_measured_noise() -> None:
    scene, view = make_scene(), masked_view()
    weight = view.mask / pixel_noise(sq_residual(scene, view)) / CONFIG.pixels_per_observation
    exact, camera = to_double(scene), double_camera(view.camera)
    jacobian = color_jacobian(exact, camera, 0, sky_background(exact.sky, camera))
    prior = torch.diag_embed(prior_precision(scene.gaussians, CONFIG).double())
    truth = prior + block_information(jacobian, weight)
    found = dense_precision(fit_posterior(scene, [view], CONFIG).precision)
    scale = truth.diagonal(dim1=1, dim2=2).sqrt()
    assert ((found - truth).abs() / (scale[:, :, None] * scale[:, None])).max() < 1e-4
    blind = fit_posterior(scene, [dataclasses.replace(view, image=None)], CONFIG)
    assert (dense_precision(blind.precision).diagonal(dim1=1, dim2=2) >= found.diagonal(dim1=1, dim2=2) - 1e-3).all()


def test_discrepancy_is_the_weighted_mean_residual_drawn_to_that_of_all() -> None:
    scene, view = dull(make_scene()), masked_view()
    weights, residual = blending_weights(scene, view) * view.mask[..., None], sq_residual(scene, view)
    seen, misfit = weights.sum((0, 1)), (weights * residual[..., None]).sum((0, 1))
    everywhere = misfit.sum() / seen.sum()
    posterior = fit_posterior(scene, [view], CONFIG)
    torch.testing.assert_close(posterior.discrepancy.double(), (misfit + everywhere) / (seen + 1), rtol=1e-4, atol=1e-7)
    twice = fit_posterior(scene, [view, view], CONFIG)
    torch.testing.assert_close(
        twice.discrepancy.double(), (2 * misfit + everywhere) / (2 * seen + 1), rtol=1e-4, atol=1e-7
    )


def test_the_sky_has_its_own_discrepancy() -> None:
    scene, view = make_scene(), masked_view()
    _, alpha = exact_render(scene, view)
    through, residual = (1.0 - alpha) * view.mask, sq_residual(scene, view)
    exact, camera = to_double(scene), double_camera(view.camera)
    seen, misfit = [], []
    for texel in range(exact.sky.texture[..., 0].numel()):
        texture = torch.zeros_like(exact.sky.texture)
        texture.view(-1, 3)[texel] = 1.0
        share = sky_background(Sky(texture), camera)[..., 0]
        seen.append((share * through).sum())
        misfit.append((share * through * residual).sum())
    seen, misfit = torch.stack(seen), torch.stack(misfit)
    everywhere = misfit.sum() / seen.sum()
    found = fit_posterior(scene, [view], CONFIG).sky_discrepancy.flatten().double()
    torch.testing.assert_close(found, (misfit + everywhere) / (seen + 1), rtol=1e-4, atol=1e-7)
    assert found[seen == 0].numel() > 0
    torch.testing.assert_close(found[seen == 0], everywhere.expand(int((seen == 0).sum())), rtol=1e-4, atol=1e-7)


def test_the_map_adds_what_the_gaussians_and_the_sky_leave_unexplained() -> None:
    scene, view = dull(make_scene()), masked_view()
    posterior = fit_posterior(scene, [view], CONFIG)
    certain = dataclasses.replace(
        posterior,
        discrepancy=torch.zeros_like(posterior.discrepancy),
        sky_discrepancy=torch.zeros_like(posterior.sky_discrepancy),
    )
    new = TrainingView(make_camera(0.5), 0, torch.ones_like(view.mask))
    maps = [eig_map(scene, p, new.camera, 0)[0] for p in (posterior, certain)]
    _, alpha = exact_render(scene, new)
    texture = posterior.sky_discrepancy.double()[..., None].expand(-1, -1, 3)
    behind = sky_background(Sky(texture), double_camera(new.camera))[..., 0]
    truth = (blending_weights(scene, new) * posterior.discrepancy.double()).sum(-1) + (1.0 - alpha) * behind
    found = maps[0].predictive_variance - maps[1].predictive_variance
    torch.testing.assert_close(found.double(), truth, rtol=1e-3, atol=1e-6)
    assert (maps[0].eig_nats > maps[1].eig_nats).all()


def test_imagined_views_leave_no_discrepancy_and_all_noise_to_the_sensor() -> None:
    scene, (view,) = make_scene(), make_views(1)
    posterior = fit_posterior(scene, [view], CONFIG)
    assert posterior.discrepancy.abs().max() == 0.0
    assert posterior.sky_discrepancy.abs().max() == 0.0
    quiet = dataclasses.replace(CONFIG, noise_std=CONFIG.noise_std / 2)
    torch.testing.assert_close(
        view_information(scene, view, quiet).precision, 4.0 * view_information(scene, view, CONFIG).precision
    )


def test_pixels_per_observation_divides_all_evidence() -> None:
    scene, view = make_scene(), masked_view()

    def beyond_prior(config: EigConfig) -> tuple[torch.Tensor, torch.Tensor]:
        posterior: Posterior = fit_posterior(scene, [view], config)
        prior = torch.diag_embed(prior_precision(scene.gaussians, config))
        return dense_precision(posterior.precision) - prior, posterior.sky_precision - config.prior_color**-2

    once, often = (beyond_prior(dataclasses.replace(CONFIG, pixels_per_observation=n)) for n in (1.0, 10.0))
    for whole, tenth in zip(once, often, strict=True):
        assert (whole - 10.0 * tenth).norm() < 1e-4 * whole.norm()


@pytest.mark.usefixtures("unchecked")
def test_an_image_of_another_size_is_refused() -> None:
    view = masked_view()
    with pytest.raises(InputError, match="image of time index 0"):
        fit_posterior(make_scene(), [dataclasses.replace(view, image=view.image[1:])], CONFIG)


def test_an_image_in_bytes_is_refused() -> None:
    scene, view = make_scene(), make_views(1)[0]
    bright = dataclasses.replace(view, image=torch.full((*view.mask.shape, 3), 200.0))
    with pytest.raises(InputError, match=r"up to 200; expected floating-point colours in \[0, 1\]"):
        view_information(scene, bright, CONFIG)
