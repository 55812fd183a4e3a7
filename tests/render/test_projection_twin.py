"""The fused projection and its gradient in closed form against the slow twin in float64 and its autograd."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from reference.cloud import make_camera, make_gaussians, to_float64, with_gradients
from reference.eig_bruteforce import node_poses, world_gaussians
from reference.eig_scene import make_camera as make_street_camera
from reference.eig_scene import make_scene, to_double
from reference.raster import project_reference
from torch import Tensor

from faithfusion.render.project import project
from faithfusion.scene.graph import gaussians_at
from faithfusion.types import Camera, Gaussians
from faithfusion.utils.seed import make_generator

GEOMETRY = ("means", "quats", "log_scales", "opacity_logits")


def far_outside() -> tuple[Gaussians, Camera]:
    """Large Gaussians beside a narrow image: most slopes are clamped, on all four sides."""
    gaussians = make_gaussians(400, scale_m=1.5)
    return dataclasses.replace(gaussians, means=gaussians.means * torch.tensor([3.0, 3.0, 1.0])), make_camera(24, 20)


def thin_diagonal() -> tuple[Gaussians, Camera]:
    """Rods across the view, 5 m away, that are about 1,000 pixels long and 1 to 8 wide under blur, at all angles."""
    num = 96
    gaussians = make_gaussians(num)
    generator = make_generator(3, "rods")
    means = torch.rand(num, 3, generator=generator) * torch.tensor([3.0, 2.0, 0.5]) + torch.tensor([-0.8, -1.0, 5.0])
    angle = torch.arange(num) * (math.pi / num)
    quats = torch.stack([(angle / 2).cos(), 0 * angle, 0.05 * torch.ones(num), (angle / 2).sin()], -1)
    widths = torch.linspace(math.log(1e-4), math.log(0.04), num)
    log_scales = torch.stack([torch.zeros(num), widths, widths], -1)
    return dataclasses.replace(gaussians, means=means, quats=quats, log_scales=log_scales), make_camera(960, 640)


def unnormalised() -> tuple[Gaussians, Camera]:
    """Quaternions from a thousandth to a thousand long."""
    gaussians = make_gaussians(200)
    lengths = torch.logspace(-3, 3, 200)[:, None]
    return dataclasses.replace(gaussians, quats=gaussians.quats * lengths), make_camera(48, 32)


CASES = {
    "cloud": lambda: (make_gaussians(300), make_camera(48, 32)),
    "far outside": far_outside,
    "thin diagonal": thin_diagonal,
    "unnormalised": unnormalised,
    "flat": lambda: (make_gaussians(200, scale_m=1e-4), make_camera(200, 150)),
}


def loss_weights(num: int) -> list[Tensor]:
    """Random weights of every number of the projection, float64."""
    generator = make_generator(2, "projection")
    return [torch.randn(num, *size, generator=generator).double() for size in ((2,), (3,), (), ())]


def worst_error(value: Tensor, truth: Tensor) -> float:
    """The largest error of a Gaussian relative to its own numbers."""
    value, truth = value.detach().double().reshape(len(value), -1), truth.detach().reshape(len(truth), -1)
    return float(((value - truth).norm(dim=-1) / truth.norm(dim=-1).clamp_min(1e-9)).max())


def compare(fast: Gaussians, slow: Gaussians, camera: Camera, bound: float) -> Tensor:
    """Projects both, compares what is visible, sends the same loss back. Returns the numbers of the visible ones."""
    projection, twin = project(fast, camera), project_reference(slow, to_float64(camera))
    visible = projection.radii[twin["ids"]] > 0
    ids = twin["ids"][visible]
    conics = twin["precisions"].reshape(-1, 4)[:, [0, 1, 3]]
    slow_parts = [part[visible] for part in (twin["means"], conics, twin["depths"], twin["opacities"])]
    whole = (projection.means2d, projection.conics, projection.depths, projection.opacities)
    fast_parts = [part[ids] for part in whole]
    for part, truth in zip(fast_parts, slow_parts, strict=True):
        assert worst_error(part, truth) < bound
    weights = loss_weights(len(ids))
    sum((part * weight.float()).sum() for part, weight in zip(fast_parts, weights, strict=True)).backward()
    sum((part * weight).sum() for part, weight in zip(slow_parts, weights, strict=True)).backward()
    assert all(bool(part.isfinite().all()) for part in whole)
    return ids


@pytest.mark.parametrize("case", CASES)
def test_projection_and_gradients_equal_the_twin(case: str) -> None:
    gaussians, camera = CASES[case]()
    fast, slow = with_gradients(gaussians, torch.float32), with_gradients(gaussians, torch.float64)
    ids = compare(fast, slow, camera, 1e-4)
    hidden = torch.ones(gaussians.num, dtype=torch.bool).index_fill(0, ids, False)
    assert len(ids) > 60
    for name in GEOMETRY:
        gradient, truth = getattr(fast, name).grad, getattr(slow, name).grad
        assert worst_error(gradient[ids], truth[ids]) < 5e-4, name
        assert (gradient[hidden] == 0).all() and (truth[ids] != 0).any()


def test_the_cases_hold_what_they_are_for() -> None:
    gaussians, camera = far_outside()
    visible = project(gaussians, camera).radii > 0
    points = (gaussians.means - camera.world_from_camera[:3, 3]) @ camera.world_from_camera[:3, :3]
    slope = (points[:, :2] / points[:, 2:])[visible]
    for axis, limit in enumerate((1.3 / 0.9 / 2, 1.3 * 20 / 24 / 0.95 / 2)):
        assert (slope[:, axis] < -1.1 * limit).sum() > 10 and (slope[:, axis] > 1.1 * limit).sum() > 10
    gaussians, camera = thin_diagonal()
    a, b, c = project(gaussians, camera).conics.double().unbind(-1)
    ratio = ((a + c + ((a - c) ** 2 + 4 * b * b).sqrt()) ** 2 / (4 * (a * c - b * b))).sqrt()
    assert ratio.max() > 200


def test_a_thin_diagonal_splat_keeps_its_short_axis() -> None:
    """200 x 1 px at 45 degrees: the conic's largest eigenvalue is one over the short variance."""
    camera = Camera(torch.tensor([[500.0, 0, 480], [0, 500, 320], [0, 0, 1]]), torch.eye(4), 960, 640)
    for width in (1.0, 0.1):
        log_scales = torch.tensor([[200.0, width, width]]).mul(5.0 / 500.0).log()
        quat = torch.tensor([[math.cos(math.pi / 8), 0.0, 0.0, math.sin(math.pi / 8)]])
        rod = Gaussians(torch.tensor([[0.0, 0.0, 5.0]]), quat, log_scales, torch.ones(1), torch.zeros(1, 1, 3))
        a, b, c = project(rod, camera).conics.double()[0]
        along, across = (a + c) / 2 + b, (a + c) / 2 - b
        assert abs(float(across) * (width**2 + 0.3) - 1) < 1e-5
        assert abs(float(along) * (200.0**2 + 0.3) - 1) < 2e-2  # a conic in float32 cannot say more


def test_gaussians_of_a_node_get_the_gradients_of_the_twin() -> None:
    scene, camera = make_scene(40), make_street_camera()
    exact = to_double(scene)
    fast, slow = with_gradients(scene.gaussians, torch.float32), with_gradients(scene.gaussians, torch.float64)
    posed = gaussians_at(dataclasses.replace(scene, gaussians=fast), 0)
    truth = world_gaussians(dataclasses.replace(exact, gaussians=slow), node_poses(exact, 0))
    ids = compare(posed, truth, camera, 1e-4)
    assert (scene.node_ids[ids] == 1).sum() > 3
    for name in GEOMETRY:
        assert worst_error(getattr(fast, name).grad[ids], getattr(slow, name).grad[ids]) < 5e-4, name


def test_gradients_reach_the_pose_of_the_camera() -> None:
    gaussians, camera = make_gaussians(100), make_camera(48, 32)
    twist = {}
    for dtype in (torch.float32, torch.float64):
        small = torch.zeros(6, dtype=dtype, requires_grad=True)
        zero = torch.zeros((), dtype=dtype)
        x, y, z = small[3:].unbind()
        cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
        move = torch.cat([torch.cat([torch.eye(3).to(cross) + cross, small[:3, None]], 1), torch.eye(4)[3:].to(cross)])
        pose = move @ camera.world_from_camera.to(dtype)
        moved = dataclasses.replace(camera, intrinsics=camera.intrinsics.to(dtype), world_from_camera=pose)
        leaves = with_gradients(gaussians, dtype)
        if dtype == torch.float32:
            projection = project(leaves, moved)
            visible = projection.radii > 0
            parts = [projection.means2d, projection.conics, projection.depths]
        else:
            twin = project_reference(leaves, moved)
            place = twin["ids"].argsort()
            shown = visible[twin["ids"][place]]
            conics = twin["precisions"].reshape(-1, 4)[:, [0, 1, 3]]
            parts = [part[place][shown] for part in (twin["means"], conics, twin["depths"])]
        if dtype == torch.float32:
            parts = [part[visible] for part in parts]
        weights = loss_weights(len(parts[0]))
        sum((part * weight.to(dtype)).sum() for part, weight in zip(parts, weights, strict=False)).backward()
        twist[dtype] = small.grad.double()
    assert torch.allclose(twist[torch.float32], twist[torch.float64], rtol=1e-4, atol=1e-3)
    assert twist[torch.float64].abs().min() > 0.1


def test_any_number_of_threads_gives_the_same_bits() -> None:
    results = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        leaves = with_gradients(make_gaussians(5000), torch.float32)
        projection = project(leaves, make_camera(48, 32))
        parts = [projection.means2d, projection.conics, projection.depths, projection.opacities]
        weights = loss_weights(5000)
        sum((part * weight.float()).sum() for part, weight in zip(parts, weights, strict=True)).backward()
        results.append([*parts, projection.radii, *(getattr(leaves, name).grad for name in GEOMETRY)])
    torch.set_num_threads(before)
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))
