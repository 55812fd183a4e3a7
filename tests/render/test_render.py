"""What `render` promises beside its numbers: culling, empty scenes, determinism, errors, screen-space gradients."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from reference.cloud import PARAMETERS, make_camera, make_gaussians, relative_error, to_float64, with_gradients
from reference.raster import blend_reference, pixel_centres, project_reference
from torch import Tensor

from faithfusion.render import render
from faithfusion.render.constants import MIN_TRANSMITTANCE, NEAR_M
from faithfusion.render.rasterise import choose_backend
from faithfusion.render.render_view import render_view
from faithfusion.types import Camera, Gaussians, GaussianScene, RigidNode, Sky
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator


def images_and_gradients(gaussians: Gaussians, camera: Camera) -> list[Tensor]:
    leaves = with_gradients(gaussians, torch.float32)
    background = torch.full((camera.height, camera.width, 3), 0.3, requires_grad=True)
    rendering = render(leaves, camera, background, backend="warp")
    rendering.projection.means2d.retain_grad()
    (rendering.color.square().sum() + rendering.depth.sum() + rendering.alpha.sum()).backward()
    gradients = [getattr(leaves, name).grad for name in PARAMETERS]
    images = [rendering.color.detach(), rendering.depth.detach(), rendering.alpha.detach()]
    return [*images, *gradients, background.grad, rendering.projection.means2d.grad]


def test_bitwise_the_same_for_any_number_of_threads() -> None:
    gaussians, camera = make_gaussians(3000, coefficients=4, scale_m=0.1), make_camera(150, 90)
    before = torch.get_num_threads()
    results = []
    try:
        for num_threads in (1, 2, 4):
            torch.set_num_threads(num_threads)
            results.append(images_and_gradients(gaussians, camera))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("num", [0, 1])
def test_nothing_in_sight_gives_the_background(num: int) -> None:
    camera = make_camera(20, 18)
    gaussians = make_gaussians(num)  # the only one lies behind the camera
    color, depth, alpha, *gradients = images_and_gradients(gaussians, camera)
    assert torch.equal(color, torch.full_like(color, 0.3))
    assert depth.abs().max() == 0 and alpha.abs().max() == 0
    assert all(gradient.abs().sum() == 0 for gradient in gradients[: len(PARAMETERS)])
    assert torch.allclose(gradients[len(PARAMETERS)], 2 * color)


def test_absent_gaussians_change_nothing_and_have_no_gradient() -> None:
    gaussians, camera = make_gaussians(50), make_camera(33, 17)
    absent = torch.arange(50) % 3 == 0
    logits = torch.where(absent, torch.tensor(-1e4), gaussians.opacity_logits)
    hidden = images_and_gradients(dataclasses.replace(gaussians, opacity_logits=logits), camera)
    rest = Gaussians(**{name: getattr(gaussians, name)[~absent] for name in PARAMETERS})
    without = images_and_gradients(rest, camera)
    assert all(torch.equal(a, b) for a, b in zip(hidden[:3], without[:3], strict=True))
    for gradient, other in zip(hidden[3:8], without[3:8], strict=True):
        assert torch.equal(gradient[absent], torch.zeros_like(gradient[absent]))
        assert torch.equal(gradient[~absent], other)


def test_nothing_is_blended_behind_an_opaque_stack() -> None:
    camera = make_camera(16, 16)
    forward = camera.world_from_camera[:3, 2]
    means = camera.world_from_camera[:3, 3] + forward * torch.arange(2.0, 42.0)[:, None]
    gaussians = Gaussians(
        means, torch.tensor([[1.0, 0, 0, 0]]).repeat(40, 1), torch.full((40, 3), 1.5), torch.full((40,), 2.0),
        torch.zeros(40, 1, 3),
    )  # fmt: skip
    leaves = with_gradients(gaussians, torch.float32)
    rendering = render(leaves, camera, torch.ones(16, 16, 3), backend="warp")
    rendering.color.sum().backward()
    assert (rendering.alpha <= 1 - MIN_TRANSMITTANCE).all() and (rendering.alpha > 0.99).all()
    assert (leaves.colors.grad[:2] > 0).all()
    assert leaves.colors.grad[20:].abs().max() == 0


def test_gradient_of_the_screen_means_can_be_kept() -> None:
    gaussians, camera = make_gaussians(60), make_camera(48, 32)
    weights = torch.randn(32, 48, 3, generator=make_generator(2))
    rendering = render(with_gradients(gaussians, torch.float32), camera, torch.zeros(32, 48, 3), backend="warp")
    rendering.projection.means2d.retain_grad()
    (rendering.color * weights).sum().backward()

    twin = project_reference(with_gradients(gaussians, torch.float64), to_float64(camera))
    twin["means"].retain_grad()
    color, _, _ = blend_reference(twin, pixel_centres(camera).double(), torch.zeros(48 * 32, 3).double())
    (color * weights.reshape(-1, 3)).sum().backward()

    depths = rendering.projection.depths
    front_to_back = [i for i in depths.argsort(stable=True).tolist() if depths[i] > NEAR_M]
    assert relative_error(rendering.projection.means2d.grad[front_to_back], twin["means"].grad) < 1e-4


@pytest.mark.usefixtures("unchecked")
def test_wrong_input_is_refused() -> None:
    gaussians, camera = make_gaussians(5), make_camera(20, 18)
    with pytest.raises(InputError, match="background"):
        render(gaussians, camera, torch.zeros(20, 18, 3))
    with pytest.raises(InputError, match="metal"):
        render(gaussians, camera, torch.zeros(18, 20, 3), backend="metal")
    with pytest.raises(InputError, match="gsplat.*needs CUDA tensors"):
        render(gaussians, camera, torch.zeros(18, 20, 3), backend="gsplat")


def test_backend_is_named_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    choose_backend.cache_clear()
    gaussians, camera = make_gaussians(5), make_camera(20, 18)
    names = [render(gaussians, camera, torch.zeros(18, 20, 3)).backend for _ in range(3)]
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rasteriser:")]
    assert names == ["warp"] * 3
    assert len(said) == 1 and "warp on cpu" in said[0]


def test_view_of_a_scene_moves_its_nodes_and_shows_the_sky() -> None:
    camera = make_camera(40, 30)
    gaussians = make_gaussians(40)
    pose = torch.eye(4).repeat(2, 1, 1)
    pose[1, :3, 3] = torch.tensor([0.0, 0.0, -100.0])  # behind the camera
    node = RigidNode("car", torch.ones(3), torch.tensor([0, 1]), pose)
    texture = torch.full((4, 8, 3), 0.25, requires_grad=True)
    scene = GaussianScene(gaussians, torch.ones(40, dtype=torch.long), (node,), Sky(texture))
    near, behind, absent = (render_view(scene, camera, time, backend="warp") for time in (0, 1, 2))
    assert near.alpha.max() > 0.3
    for empty in (behind, absent):
        assert torch.allclose(empty.color, torch.full_like(empty.color, 0.25))
        assert empty.tiles.gaussian_ids.numel() == 0
    near.color.sum().backward()
    assert texture.grad.abs().sum() > 0


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["warp", "gsplat"])
def test_cuda_equals_cpu(backend: str) -> None:
    gaussians, camera = make_gaussians(3000, coefficients=4, scale_m=0.1), make_camera(150, 90)
    expected = images_and_gradients(gaussians, camera)
    leaves = with_gradients(Gaussians(**{n: getattr(gaussians, n).to("cuda") for n in PARAMETERS}), torch.float32)
    background = torch.full((90, 150, 3), 0.3, device="cuda", requires_grad=True)
    rendering = render(leaves, camera.to("cuda"), background, backend=backend)
    (rendering.color.square().sum() + rendering.depth.sum() + rendering.alpha.sum()).backward()
    values = [rendering.color.detach(), rendering.depth.detach(), rendering.alpha.detach()]
    values += [getattr(leaves, name).grad for name in PARAMETERS]
    for value, truth in zip(values, expected, strict=False):
        assert relative_error(value.cpu(), truth.double()) < 1e-3
