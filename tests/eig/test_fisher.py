"""FisherRF's baseline against squared Jacobians of the reference renderer in float64."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from reference.eig_bruteforce import directional_jacobian, node_poses, world_gaussians
from reference.eig_scene import double_camera, make_camera, make_scene, make_views, to_device, to_double
from reference.raster import render_reference
from torch import Tensor

from faithfusion.eig.fisher import REGULARISER, fisher_information, fisher_maps, random_signs, squared_gradients
from faithfusion.render.render_view import render_view
from faithfusion.scene.sky import sky_background
from faithfusion.types import Camera, Gaussians, GaussianScene
from faithfusion.utils.errors import InputError


def flat(gaussians: Gaussians) -> Tensor:
    return torch.cat([value.reshape(gaussians.num, -1) for value in vars(gaussians).values()], 1)


def unflat(theta: Tensor) -> Gaussians:
    means, quats, log_scales, opacity, colors = theta.split([3, 4, 3, 1, 3], 1)
    return Gaussians(means, quats, log_scales, opacity[:, 0], colors[:, None])


@functools.cache
def twin_jacobian(shift_m: float) -> Tensor:
    """d colour / d stored parameters [h, w, 3, n, 14] of the scene of 12 Gaussians, by directional derivatives."""
    scene, camera = to_double(make_scene(12)), double_camera(make_camera(shift_m))
    poses, background = node_poses(scene, 0), sky_background(scene.sky, camera)

    def image(theta: Tensor) -> Tensor:
        moved: GaussianScene = dataclasses.replace(scene, gaussians=unflat(theta))
        return render_reference(world_gaussians(moved, poses), camera, background)[0]

    return directional_jacobian(image, flat(scene.gaussians))


def assert_close_columns(found: Tensor, truth: Tensor) -> None:
    """Relative to the largest entry of the same Gaussian's group of parameters (mean, quaternion, ...)."""
    assert found.shape == truth.shape and truth.any()
    for group in (slice(0, 3), slice(3, 7), slice(7, 10), slice(10, 11), slice(11, None)):
        scale = truth[:, group].amax(1, keepdim=True) + 1e-9 * truth[:, group].max()
        assert ((found[:, group].double() - truth[:, group]).abs() / scale).max() < 1e-2, group


def test_squared_gradients_are_those_of_the_slow_renderer() -> None:
    camera = make_camera()
    signs = random_signs(camera, "test")
    truth = torch.einsum("hwcnd,hwc->nd", twin_jacobian(0.0), signs.double()).square()
    found, _ = squared_gradients(make_scene(12), camera, 0, signs)
    assert_close_columns(found, truth)


def test_the_mean_over_signs_is_the_diagonal_of_the_fisher_information() -> None:
    jacobian = twin_jacobian(0.0)
    truth = jacobian.square().sum((0, 1, 2))
    signs = torch.stack([random_signs(make_camera(), number) for number in range(600)]).double()
    mean = torch.einsum("hwcnd,shwc->snd", jacobian, signs).square().mean(0)
    seen = truth > 1e-6 * truth.amax(0)
    ratio = (mean / truth)[seen]
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert abs(ratio.mean() - 1.0) < 0.05 and (ratio - 1.0).abs().max() < 0.4  # a ratio's deviation is at most 0.06


def test_views_add_up_and_hidden_pixels_count_nothing() -> None:
    scene, views = make_scene(12), make_views(2)
    mask, sky = views[1].mask.clone(), torch.zeros_like(views[1].mask)
    mask[:, :9], sky[:7] = False, True
    views[1] = dataclasses.replace(views[1], mask=mask, sky_mask=sky)
    signs = [random_signs(view.camera, "training view", number).double() for number, view in enumerate(views)]
    signs[1] *= (mask & ~sky)[..., None]
    truth = sum(
        torch.einsum("hwcnd,hwc->nd", twin_jacobian(shift_m), sign).square()
        for shift_m, sign in zip((0.0, 0.4), signs, strict=True)
    )
    assert_close_columns(fisher_information(scene, views), truth)


def test_both_maps_blend_with_the_weights_of_the_picture() -> None:
    scene, camera = make_scene(12), make_camera(0.4)
    information = fisher_information(scene, make_views(1))
    signs = random_signs(camera, "new view", 0).double()
    view = torch.einsum("hwcnd,hwc->nd", twin_jacobian(0.4), signs).square()
    ratio = (view / (information.double() + REGULARISER)).sum(1)
    found, weights = fisher_maps(scene, information, camera, 0), blending_weights(scene, camera)
    torch.testing.assert_close(found.gain.double(), weights @ ratio, rtol=2e-2, atol=1e-6)
    rendering = render_view(scene, camera, 0)
    seen = (view.sum(1) - view[:, 3:7].sum(1)) * rendering.projection.depths
    torch.testing.assert_close(found.seen.double(), weights @ seen, rtol=2e-2, atol=1e-6)
    for image in (found.gain, found.seen):
        assert (image[rendering.alpha == 0] == 0).all() and (image[rendering.alpha > 0.2] > 0).all()


def blending_weights(scene: GaussianScene, camera: Camera) -> Tensor:
    """d red / d (stored red coefficient) / Y_0 [h, w, n]: the weight of every Gaussian whose colour is not clamped."""
    assert (scene.gaussians.colors > -1.7).all()
    return twin_jacobian(float(camera.world_from_camera[1, 3]))[..., 0, :, 11].contiguous() / 0.28209479177387814


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused() -> None:
    scene, (view,) = make_scene(12), make_views(1)
    with pytest.raises(InputError, match="image size"):
        fisher_information(scene, [dataclasses.replace(view, sky_mask=view.mask[:3])])
    with pytest.raises(InputError, match="FisherRF"):
        fisher_maps(scene, fisher_information(make_scene(3), []), view.camera, 0)


@pytest.mark.gpu
def test_cpu_and_cuda_agree() -> None:
    scene, views = make_scene(500), make_views(3)
    maps = []
    for device in ("cpu", "cuda"):
        moved, moved_views = to_device(scene, views, device)
        information = fisher_information(moved, moved_views[:2])
        maps.append(fisher_maps(moved, information, moved_views[2].camera, 0))
    for name in ("gain", "seen"):
        cpu, cuda = (getattr(of, name).cpu() for of in maps)
        torch.testing.assert_close(cuda, cpu, rtol=1e-2, atol=1e-4 * float(cpu.max()))
