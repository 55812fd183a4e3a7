"""View-dependent colours in both passes: against brute force in float64, against the diffuse kernels, and their use."""

from __future__ import annotations

import dataclasses
import functools
import math

import pytest
import torch
from reference.eig_bruteforce import (
    block_information,
    color_jacobian,
    finite_difference_jacobian,
    pixel_covariance,
    screen_basis,
)
from reference.eig_scene import double_camera, make_camera, make_scene, to_double
from reference.view_gain import view_gain

from faithfusion.eig.config import EigConfig
from faithfusion.eig.dense_blocks import (
    add_dense_information,
    block_size,
    coefficients_of,
    dense_coefficients,
    dense_precision,
    guarded_cholesky,
)
from faithfusion.eig.jacobian import screen_jacobian
from faithfusion.eig.moments import offset_moments
from faithfusion.eig.observe import TrainingView, view_information
from faithfusion.eig.pixel_gain import eig_map
from faithfusion.eig.posterior import Posterior, fit_posterior, prior_posterior, prior_precision
from faithfusion.eig.variance_polynomials import variance_coefficients
from faithfusion.render.render_view import render_view
from faithfusion.scene.sky import sky_background
from faithfusion.types import Camera, GaussianScene
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator

CONFIG = EigConfig(pixels_per_observation=1.0)
COUNTS = [4, 9]


def make_glossy(num_coefficients: int, num: int = 7, *, strength: float = 0.4) -> GaussianScene:
    """The test scene, one Gaussian in four on a turned node, with random higher coefficients; some channels clamp."""
    scene = make_scene(num)
    generator = make_generator(0, "eig test harmonics")
    higher = strength * torch.randn(num, num_coefficients - 1, 3, generator=generator)
    colors = torch.cat([1.5 * scene.gaussians.colors, higher], 1)
    return dataclasses.replace(scene, gaussians=dataclasses.replace(scene.gaussians, colors=colors))


def small_camera(shift_m: float = 0.0) -> Camera:
    return make_camera(shift_m, width=30, height=19)


def turned_camera(degrees: float) -> Camera:
    """A camera that sees the scene's middle, (5, 0, 0), from another side."""
    camera, angle = small_camera(), math.radians(degrees)
    turn = torch.eye(4)
    turn[:2, :2] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = torch.tensor([5.0, 0.0, 0.0])
    turn[:3, 3] = middle - turn[:3, :3] @ middle
    return dataclasses.replace(camera, world_from_camera=turn @ camera.world_from_camera)


def whole_view(camera: Camera) -> TrainingView:
    return TrainingView(camera, 0, torch.ones(camera.height, camera.width, dtype=torch.bool))


def known_sky(posterior: Posterior) -> Posterior:
    """The same posterior with no uncertainty of the sky."""
    return dataclasses.replace(posterior, sky_precision=torch.full_like(posterior.sky_precision, 1e20))


@functools.cache
def brute_jacobian(num_coefficients: int, shift_m: float) -> torch.Tensor:
    exact, camera = to_double(make_glossy(num_coefficients)), double_camera(small_camera(shift_m))
    return color_jacobian(exact, camera, 0, sky_background(exact.sky, camera))


@pytest.mark.parametrize("num_coefficients", [4, 9, 16])
def test_screen_jacobian_equals_finite_differences(num_coefficients: int) -> None:
    scene, camera = make_glossy(num_coefficients, 20), make_camera()
    projection = render_view(scene, camera, 0).projection
    clamped = projection.rgb == 0.0
    assert clamped.any()
    jacobian = screen_jacobian(scene, camera, 0, projection, torch.arange(20)).double()
    by_screen = finite_difference_jacobian(to_double(scene), double_camera(camera), 0)
    truth = screen_basis(projection).mT @ by_screen
    assert jacobian.shape == (20, 9, 10 + 3 * num_coefficients)
    for row in range(9):
        error = (jacobian[:, row] - truth[:, row]).norm(dim=1)
        assert (error < 1e-4 * truth[:, row].norm(dim=1) + 1e-7).all(), row
    by_mean = jacobian[:, 6:, :3].norm(dim=2)
    assert (by_mean[clamped] == 0.0).all()
    assert (by_mean[~clamped] > 1e-4).all()


@pytest.mark.parametrize("kind", ["block", "diag"])
@pytest.mark.parametrize("num_coefficients", COUNTS)
def test_posterior_and_gain_equal_brute_force(num_coefficients: int, kind: str) -> None:
    scene, config = make_glossy(num_coefficients), dataclasses.replace(CONFIG, posterior=kind)
    view = whole_view(small_camera())
    view.mask[:5] = False
    posterior = fit_posterior(scene, [view], config)
    information = block_information(brute_jacobian(num_coefficients, 0.0), view.mask.double()) / config.noise_std**2
    truth = information + torch.diag_embed(prior_precision(scene.gaussians, config).double())
    if kind == "diag":
        truth = torch.diag_embed(truth.diagonal(dim1=1, dim2=2))
    scale = truth.diagonal(dim1=1, dim2=2).sqrt()
    error = (dense_precision(posterior.precision) - truth) / (scale[:, :, None] * scale[:, None])
    assert error.abs().max() < 1e-4
    covariance = pixel_covariance(brute_jacobian(num_coefficients, 0.5), truth)
    gain, _ = eig_map(scene, known_sky(posterior), small_camera(0.5), 0)
    assert (gain.predictive_variance - covariance.diagonal(dim1=2, dim2=3).mean(-1)).norm() < 1e-3 * covariance.norm()
    exact = 0.5 * torch.logdet(torch.eye(3) + covariance / config.noise_std**2)
    torch.testing.assert_close(gain.eig_nats.double(), exact, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", ["block", "diag"])
def test_trace_over_pixels_equals_trace_over_gaussians(kind: str) -> None:
    scene, config = make_glossy(4, 20), dataclasses.replace(CONFIG, posterior=kind)
    posterior = fit_posterior(scene, [whole_view(make_camera())], config)
    new = whole_view(make_camera(0.4))
    gain, _ = eig_map(scene, known_sky(posterior), new.camera, 0)
    over_pixels = 3.0 * gain.predictive_variance.double().sum() / (2 * config.noise_std**2)
    logdet, trace = view_gain(scene, posterior, new)
    assert float(trace.sum()) == pytest.approx(float(over_pixels), rel=1e-4)
    assert (logdet <= trace + 1e-6).all()
    assert (logdet >= 0).all()


def test_dense_passes_equal_the_diffuse_kernels() -> None:
    scene, camera = make_scene(), make_camera()
    posterior, prior = fit_posterior(scene, [whole_view(camera)], CONFIG), prior_precision(scene.gaussians, CONFIG)
    view = render_view(scene, camera, 0)
    ids = torch.unique(view.tiles.gaussian_ids)
    truth = variance_coefficients(scene, posterior, camera, 0, view, ids)
    args = (scene, camera, 0, view.projection, posterior.precision, prior, ids)
    found = dense_coefficients(*args, chunk_size=100)
    assert ((found - truth).abs() < 1e-4 * truth.abs() + 1e-6 * truth.abs().amax(1, keepdim=True)).all()
    information = torch.zeros_like(posterior.precision)
    moments = offset_moments(view, torch.full((camera.height, camera.width), CONFIG.noise_std**-2))
    args = (scene, camera, 0, view.projection, moments, ids)
    add_dense_information(*args, information, chunk_size=100)
    kernel = dense_precision(view_information(scene, whole_view(camera), CONFIG).precision)
    scale = kernel.diagonal(dim1=1, dim2=2).clamp_min(1e-9).sqrt()
    error = (dense_precision(information) - kernel) / (scale[:, :, None] * scale[:, None])
    assert error.abs().max() < 1e-5


def test_coefficients_give_the_quadratic_form_of_a_pixel() -> None:
    """g_c^T S g_c' at one whitened offset, written out."""
    root = torch.randn(20, 9, 9, dtype=torch.float64)
    S, (x, y) = root @ root.mT, (0.7, -1.9)
    v = torch.tensor([1.0, x, x * x, y, x * y, y * y], dtype=torch.float64)
    g = torch.cat([0.3 * v, torch.tensor([0.0, 0.2, 0.0])])  # d_1 = 0.3, w = 0.2, channel 1
    found = coefficients_of(S)
    quartic = [x**i * y**j for j in range(5) for i in range(5 - j)]
    quadratic = [x**i * y**j for j in range(3) for i in range(3 - j)]
    value = 0.09 * found[:, :15] @ torch.tensor(quartic).double() + 0.04 * found[:, 36]
    value += 2 * 0.06 * found[:, 21:27] @ torch.tensor(quadratic).double()
    torch.testing.assert_close(value, torch.einsum("i,nij,j->n", g, S, g), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["block", "diag"])
def test_chunks_and_threads_change_nothing(kind: str) -> None:
    scene, views = make_glossy(9, 200), [whole_view(make_camera(0.4 * index)) for index in range(2)]
    threads, found = torch.get_num_threads(), []
    try:
        for chunk_size, num_threads in ((1000, 1), (1000, 2), (7, 1)):
            torch.set_num_threads(num_threads)
            config = dataclasses.replace(CONFIG, posterior=kind, chunk_size=chunk_size)
            posterior = fit_posterior(scene, views, config)
            found.append((posterior.precision, eig_map(scene, posterior, make_camera(1.0), 0)[0].eig_nats))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    torch.testing.assert_close(found[0][0], found[2][0], rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(found[0][1], found[2][1], rtol=1e-4, atol=1e-6)


def diffuse_twin(scene: GaussianScene, camera: Camera) -> GaussianScene:
    """The scene with the colours it has from `camera`, the same from everywhere."""
    rgb = render_view(scene, camera, 0).projection.rgb
    colors = (rgb[:, None] - 0.5) / 0.28209479177387814
    return dataclasses.replace(scene, gaussians=dataclasses.replace(scene.gaussians, colors=colors))


@pytest.mark.parametrize("num_coefficients", COUNTS)
def test_another_side_is_less_known_than_if_colours_were_diffuse(num_coefficients: int) -> None:
    scene, train = make_glossy(num_coefficients, 20), small_camera()
    posterior = fit_posterior(scene, [whole_view(train)] * 5, CONFIG)
    diffuse = fit_posterior(diffuse_twin(scene, train), [whole_view(train)] * 5, CONFIG)
    growth = []
    for camera in (train, turned_camera(80.0)):
        gain, rendering = eig_map(scene, known_sky(posterior), camera, 0)
        twin, same = eig_map(diffuse_twin(scene, camera), known_sky(diffuse), camera, 0)
        torch.testing.assert_close(rendering.color, same.color, rtol=0.0, atol=1e-5)
        growth.append(float(gain.eig_nats.mean() / twin.eig_nats.mean()))
    assert growth[0] < 1.05
    assert growth[1] > 1.2


@pytest.mark.parametrize("num_coefficients", COUNTS)
def test_free_coefficients_never_make_a_pixel_better_known(num_coefficients: int) -> None:
    """Without reflections now the scenes render alike; fixing coefficients at 0 is knowledge."""
    glossy, train, side = make_glossy(num_coefficients, 20, strength=0.0), small_camera(), turned_camera(80.0)
    gaussians = dataclasses.replace(glossy.gaussians, colors=glossy.gaussians.colors[:, :1])
    gains = []
    for scene in (dataclasses.replace(glossy, gaussians=gaussians), glossy):
        posterior = known_sky(fit_posterior(scene, [whole_view(train)], CONFIG))
        gains.append(eig_map(scene, posterior, side, 0)[0].eig_nats)
    assert (gains[1] >= gains[0] - 1e-4).all()
    assert gains[1].mean() > 1.2 * gains[0].mean()


def test_blocks_that_float32_has_broken_are_mended_and_the_others_are_left_alone() -> None:
    """Nine directions known 1e7 times better than the prior, in float32: the others get something below the prior."""
    prior = torch.rand(20, 22, dtype=torch.float64) + 0.5
    known, new = torch.randn(20, 22, 9, dtype=torch.float64), torch.randn(20, 22, 9, dtype=torch.float64)
    sound = known @ known.mT + torch.diag_embed(prior)
    torch.testing.assert_close(guarded_cholesky(sound, prior), torch.linalg.cholesky(sound), rtol=0.0, atol=0.0)
    exact = 1e7 * known @ known.mT + torch.diag_embed(prior)
    rounded = exact.float().double()
    assert (torch.linalg.cholesky_ex(rounded)[1] > 0).all()
    factor = guarded_cholesky(torch.cat([rounded, sound]), torch.cat([prior, prior]))
    assert torch.equal(factor[20:], torch.linalg.cholesky(sound))
    assert (factor.diagonal(dim1=1, dim2=2) > 0).all()
    assert torch.equal(factor, factor.tril())
    variance, truth = (
        torch.linalg.solve_triangular(L, new, upper=False).square().sum((1, 2))
        for L in (factor[:20], torch.linalg.cholesky(exact))
    )
    assert (variance > 0.3 * truth).all()
    assert (variance < 1.2 * truth).all()
    variance = torch.linalg.solve_triangular(factor[:20], known, upper=False).square().sum((1, 2))
    torch.testing.assert_close(1e7 * variance, torch.full_like(variance, 9.0), rtol=1e-3, atol=0.0)


def test_a_view_of_nothing_and_a_scene_in_training_are_served() -> None:
    """No Gaussian in the image gives the sky's gain; parameters that want gradients give none."""
    scene, away = make_glossy(4), whole_view(turned_camera(0.0))
    gaussians = type(scene.gaussians)(**{name: t.clone().requires_grad_() for name, t in vars(scene.gaussians).items()})
    scene = dataclasses.replace(scene, gaussians=gaussians)
    away.camera.world_from_camera[0, 3] += 20.0
    posterior = fit_posterior(scene, [away], CONFIG)
    assert torch.equal(posterior.precision, prior_posterior(scene, CONFIG).precision)
    gain, rendering = eig_map(scene, posterior, away.camera, 0)
    assert rendering.alpha.max() == 0.0
    assert gain.eig_nats.isfinite().all()
    seen = fit_posterior(scene, [whole_view(small_camera())], CONFIG)
    assert not seen.precision.requires_grad
    assert not eig_map(scene, seen, small_camera(), 0)[0].eig_nats.requires_grad


def test_widths_tell_diagonals_from_triangles_and_strangers_are_refused() -> None:
    for num_coefficients, kind in ((1, "block"), (4, "diag"), (9, "block"), (16, "block"), (16, "diag")):
        scene, config = make_glossy(num_coefficients), dataclasses.replace(CONFIG, posterior=kind)
        precision = prior_posterior(scene, config).precision
        assert block_size(precision) == 10 + 3 * num_coefficients
        prior = prior_precision(scene.gaussians, config)
        assert torch.equal(dense_precision(precision), torch.diag_embed(prior))
        assert prior[0, -1] ** -0.5 * 0.28209479 == pytest.approx(0.3 if num_coefficients == 1 else 0.1, rel=1e-5)
    with pytest.raises(InputError, match="numbers per Gaussian"):
        block_size(torch.zeros(3, 14))
    with pytest.raises(InputError, match="22 parameters per Gaussian"):
        eig_map(make_glossy(9), prior_posterior(make_glossy(4), CONFIG), small_camera(), 0)
