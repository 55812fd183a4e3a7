"""Proof obligations 1 and 2: M_k and U_k against brute force, and thread-count determinism."""

from __future__ import annotations

import pytest
import torch
from reference.eig_bruteforce import (
    block_information,
    finite_difference_jacobian,
    node_poses,
    screen_basis,
    screen_color_jacobian,
    world_gaussians,
)
from reference.eig_scene import double_camera, make_camera, make_scene, make_views, to_double

from faithfusion.eig.config import EigConfig
from faithfusion.eig.jacobian import screen_jacobian
from faithfusion.eig.moments import dense_moments, offset_moments, tile_runs
from faithfusion.eig.posterior import fit_posterior
from faithfusion.render.render_view import render_view
from faithfusion.scene.sky import sky_background


def relative_error(found: torch.Tensor, truth: torch.Tensor) -> float:
    """Largest error of an entry, in units of the geometric mean of its row's and column's diagonal entries."""
    scale = truth.diagonal(dim1=1, dim2=2).clamp_min(1e-12).sqrt()
    return float(((found - truth).abs() / (scale[:, :, None] * scale[:, None])).max())


@pytest.mark.parametrize("max_entries", [2_000_000, 5])
def test_second_moments_equal_brute_force_jacobians(max_entries: int) -> None:
    scene, camera = make_scene(), make_camera()
    weight = torch.linspace(0.5, 2.0, camera.height)[:, None].repeat(1, camera.width)
    weight[5:12, 8:30] = 0.0
    rendering = render_view(scene, camera, 0)
    basis = screen_basis(rendering.projection)
    moments = basis @ dense_moments(offset_moments(rendering, weight, max_entries=max_entries)).double() @ basis.mT
    exact = to_double(scene)
    world = world_gaussians(exact, node_poses(exact, 0))
    background = sky_background(exact.sky, double_camera(camera))
    jacobian = screen_color_jacobian(world, double_camera(camera), background)
    assert relative_error(moments, block_information(jacobian, weight.double())) < 1e-4


def test_a_clamped_alpha_has_no_gradient_but_the_colour_has() -> None:
    scene, camera = make_scene(1), make_camera()
    scene.gaussians.opacity_logits[:] = 20.0
    scene.gaussians.log_scales[:] = 1.0
    scene.gaussians.means[:] = torch.tensor([4.0, 0.0, 0.0])
    weight = torch.zeros(camera.height, camera.width)
    weight[camera.height // 2, camera.width // 2] = 1.0
    moments = offset_moments(render_view(scene, camera, 0), weight)[0]
    assert moments[:33].abs().max() == 0.0
    assert moments[33] == pytest.approx(0.999**2, abs=1e-5)


def test_screen_jacobian_equals_finite_differences() -> None:
    scene, camera = make_scene(), make_camera()
    scene.gaussians.means[4] = torch.tensor([2.0, 3.2, 0.1])  # beyond the margin: the slope in J is clamped
    rendering = render_view(scene, camera, 0)
    jacobian = screen_jacobian(scene, camera, 0, rendering.projection, torch.arange(20)).double()
    by_screen = finite_difference_jacobian(to_double(scene), double_camera(camera), 0)
    truth = screen_basis(rendering.projection).mT @ by_screen
    for row in range(9):
        error = (jacobian[:, row] - truth[:, row]).norm(dim=1)
        assert (error < 1e-4 * truth[:, row].norm(dim=1) + 1e-7).all(), row


def test_the_posterior_is_the_same_for_any_number_of_threads() -> None:
    scene, views = make_scene(200), make_views(2)
    threads = torch.get_num_threads()
    try:
        results = []
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            results.append(fit_posterior(scene, views, EigConfig(max_entries=100)).precision)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_runs_of_tiles_hold_every_entry_once_and_stay_small() -> None:
    offsets = [0, 3, 3, 10, 12, 13, 13]
    runs = tile_runs(offsets, 5)
    assert runs == [(0, 2), (2, 3), (3, 6)]
    assert tile_runs([0, 0], 5) == []
