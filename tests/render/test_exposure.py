"""Exposure of pictures and the share that moving objects have in them, against what they mean."""

import dataclasses

import torch
from reference.cloud import make_camera, make_gaussians

from faithfusion.render.exposure import exposure_of
from faithfusion.render.render_view import node_coverage, render_view
from faithfusion.types import Exposure, GaussianScene, RigidNode, Sky


def exposed_scene(coefficients: int = 4) -> GaussianScene:
    gaussians = make_gaussians(60, coefficients=coefficients)
    gaussians.colors[:, 0] += 2.0  # no colour is clipped at black
    exposure = Exposure(("0", "1"), 0.2 * torch.randn(2, 3, 3), 0.1 * torch.rand(2, 3, 3))
    return GaussianScene(gaussians, torch.zeros(60, dtype=torch.long), (), Sky(torch.rand(4, 8, 3)), exposure)


def test_exposed_picture_is_gain_times_picture_plus_offset() -> None:
    scene, camera = exposed_scene(), make_camera(40, 30)
    plain = render_view(scene, camera, 2, backend="warp").color
    seen = render_view(scene, dataclasses.replace(camera, name="1"), 2, backend="warp").color
    gain, offset = scene.exposure.log_gains[1, 2].exp(), scene.exposure.offsets[1, 2]
    torch.testing.assert_close(seen, plain * gain + offset, atol=1e-5, rtol=1e-5)
    assert (seen - plain).abs().max() > 0.05


def test_unknown_cameras_and_times_have_the_mean_exposure() -> None:
    scene, camera = exposed_scene(), make_camera(40, 30)
    for name, time in (("", 0), ("2", 0), ("1", 3)):
        assert exposure_of(scene.exposure, dataclasses.replace(camera, name=name), time) is None
    assert exposure_of(None, camera, 0) is None


def test_gradient_reaches_the_exposure() -> None:
    scene = exposed_scene(coefficients=1)
    log_gains = scene.exposure.log_gains.clone().requires_grad_()
    scene = dataclasses.replace(scene, exposure=dataclasses.replace(scene.exposure, log_gains=log_gains))
    camera = dataclasses.replace(make_camera(40, 30), name="0")
    picture = render_view(scene, camera, 1, backend="warp").color
    picture.sum().backward()
    expected = (picture.detach() - scene.exposure.offsets[0, 1]).sum((0, 1))
    torch.testing.assert_close(log_gains.grad[0, 1], expected, rtol=1e-3, atol=1e-3)
    assert (log_gains.grad[1] == 0).all() and (log_gains.grad[0, [0, 2]] == 0).all()


def test_coverage_is_one_on_nodes_zero_beside_and_between_where_they_blend() -> None:
    gaussians, camera = make_gaussians(60, opacity_logit=2.0), make_camera(40, 30)
    node = RigidNode("car", torch.ones(3), torch.tensor([0]), torch.eye(4)[None])
    sky = Sky(torch.rand(4, 8, 3))
    everything = GaussianScene(gaussians, torch.ones(60, dtype=torch.long), (node,), sky)
    torch.testing.assert_close(node_coverage(everything, camera, 0), render_view(everything, camera, 0).alpha)
    assert (node_coverage(everything, camera, 1) == 0).all()
    half = dataclasses.replace(everything, node_ids=torch.arange(60) % 2)
    coverage, alpha = node_coverage(half, camera, 0), render_view(half, camera, 0).alpha
    assert (coverage <= alpha + 1e-5).all() and 0.1 < coverage.sum() / alpha.sum() < 0.9
