"""The ground surface: found under clutter, looked up like the slow formula, and where Gaussians are laid and held."""

import dataclasses
import math

import torch
from reference.cloud import make_gaussians
from reference.raster import quaternion_rotation

from faithfusion.fit.ground_loss import GROUND_REACH_M, ground_loss
from faithfusion.scene.ground import CELL_M, Ground, fit_ground, ground_at
from faithfusion.scene.initialise import GROUND_THINNEST, frames_of_normals, lay_on_ground
from faithfusion.types import Gaussians


def hilly(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return 0.05 * x + 0.3 * torch.sin(0.1 * y)


def street_points(num: int = 60_000) -> torch.Tensor:
    """A hilly road with a wall and bushes on it, a little noise, and nothing in one corner."""
    generator = torch.Generator().manual_seed(0)
    xy = torch.rand(num, 2, generator=generator) * torch.tensor([60.0, 30.0]) + torch.tensor([-10.0, 5.0])
    z = hilly(*xy.unbind(-1)) + 0.01 * torch.randn(num, generator=generator)
    z[: num // 3] += 3.0 * torch.rand(num // 3, generator=generator)  # bushes everywhere: only returns above
    wall = torch.stack([xy[:500, 0], torch.full((500,), 20.0), z[:500] + 2.0], -1)
    points = torch.cat([torch.cat([xy, z[:, None]], -1), wall])
    return points[(points[:, 0] < 40) | (points[:, 1] < 25)]


def small_ground() -> Ground:
    heights = torch.randn(5, 4) * 0.2
    return Ground(torch.tensor([2.0, -3.0]), heights, torch.ones(5, 4, dtype=torch.bool))


def test_ground_is_found_under_bushes_and_unknown_where_nothing_was_seen() -> None:
    ground = fit_ground(street_points())
    x, y = torch.meshgrid(torch.arange(-8.0, 38.0), torch.arange(7.0, 33.0), indexing="ij")
    at = torch.stack([x.flatten(), y.flatten(), hilly(x, y).flatten()], -1)
    height_m, normal, known = ground_at(ground, at)
    assert known.float().mean() > 0.97
    assert height_m[known].abs().max() < 0.06 and height_m[known].abs().mean() < 0.02
    slope = -normal[:, 0] / normal[:, 2]
    assert (slope[known] - 0.05).abs().mean() < 0.01
    outside = torch.tensor([[46.0, 32.0, 0.0], [-40.0, 0.0, 0.0], [500.0, 10.0, 0.0]])
    assert not ground_at(ground, outside)[2].any()


def test_too_few_points_give_no_ground() -> None:
    assert fit_ground(torch.rand(50, 3)) is None


def test_lookup_equals_the_bilinear_formula_and_its_slopes() -> None:
    ground = small_ground()
    points = torch.rand(20, 3) * torch.tensor([3.9, 2.9, 1.0]) * CELL_M + torch.tensor([2.0, -3.0, 0.0])
    height_m, normal, known = ground_at(ground, points)
    for point, height, up in zip(points, height_m, normal, strict=True):
        u, v = ((point[:2] - ground.origin_m) / CELL_M).tolist()
        i, j = int(u), int(v)
        h = ground.heights_m.tolist()
        left = h[i][j] * (1 - (u - i)) + h[i + 1][j] * (u - i)
        right = h[i][j + 1] * (1 - (u - i)) + h[i + 1][j + 1] * (u - i)
        assert abs(float(height) - (float(point[2]) - left * (1 - (v - j)) - right * (v - j))) < 1e-5
        slope_y = (right - left) / CELL_M
        assert abs(float(up[1] / up[2]) + slope_y) < 1e-4 and abs(float(up.norm()) - 1) < 1e-5
    assert known.all()
    leaf = points.double().requires_grad_()
    double = Ground(ground.origin_m.double(), ground.heights_m.double(), ground.known)
    assert torch.autograd.gradcheck(lambda p: ground_at(double, p)[0], (leaf,))


def test_gaussians_near_the_ground_lie_in_it_flat_and_others_stay() -> None:
    ground, gaussians = small_ground(), make_gaussians(200)
    means = torch.rand(200, 3) * torch.tensor([3.9, 2.9, 1.0]) * CELL_M + torch.tensor([2.0, -3.0, -0.7])
    gaussians = dataclasses.replace(gaussians, means=means)
    node_ids = (torch.arange(200) % 10 == 0).long()
    laid = lay_on_ground(gaussians, node_ids, ground)
    height_m, normal, _ = ground_at(ground, gaussians.means)
    chosen = (height_m.abs() < 0.15) & (node_ids == 0)
    assert 10 < chosen.sum() < 150
    assert ground_at(ground, laid.means)[0][chosen].abs().max() < 1e-5
    axes = quaternion_rotation(laid.quats[chosen])
    torch.testing.assert_close(axes[:, :, 0], normal[chosen], atol=1e-5, rtol=0)
    scales = laid.log_scales[chosen].exp()
    torch.testing.assert_close(scales[:, 1], gaussians.log_scales[chosen].exp().amax(1))
    torch.testing.assert_close(scales[:, 0] / scales[:, 1], torch.full((int(chosen.sum()),), GROUND_THINNEST))
    for name in ("means", "quats", "log_scales"):
        assert torch.equal(getattr(laid, name)[~chosen], getattr(gaussians, name)[~chosen])


def test_frames_of_normals_are_rotations() -> None:
    normal = torch.nn.functional.normalize(torch.randn(20, 3) * torch.tensor([0.3, 0.3, 1.0]), dim=-1)
    frames = frames_of_normals(normal)
    torch.testing.assert_close(frames[:, :, 0], normal)
    torch.testing.assert_close(frames.mT @ frames, torch.eye(3).expand(20, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(frames), torch.ones(20))


def test_ground_loss_equals_the_slow_sum_and_pulls_flat() -> None:
    ground, gaussians = small_ground(), make_gaussians(60)
    means = torch.rand(60, 3) * torch.tensor([3.9, 2.9, 1.0]) * CELL_M + torch.tensor([2.0, -3.0, -0.7])
    leaf = gaussians.log_scales.clone().requires_grad_()
    gaussians = dataclasses.replace(gaussians, means=means, log_scales=leaf)
    node_ids = (torch.arange(60) % 10 == 0).long()
    loss = ground_loss(gaussians, node_ids, ground)
    expected, height_m, normal = 0.0, *ground_at(ground, means)[:2]
    for i in range(60):
        if node_ids[i] == 0 and abs(float(height_m[i])) < 0.3:
            axes = quaternion_rotation(gaussians.quats[i : i + 1])[0]
            covariance = axes @ torch.diag(leaf[i].detach().exp() ** 2) @ axes.T
            expected += abs(float(height_m[i])) + math.sqrt(float(normal[i] @ covariance @ normal[i]))
    assert abs(float(loss.detach()) - expected / 60) < 1e-5
    loss.backward()
    assert (leaf.grad[(node_ids == 0) & (height_m.abs() < 0.3)] > 0).all()
    assert (leaf.grad[(node_ids == 1) | (height_m.abs() >= 0.3)] == 0).all()


def test_gradients_of_the_ground_loss_are_those_of_autograd_in_float64() -> None:
    """Points on all sides of a ground with an unknown corner; quaternions of any length."""
    ground = small_ground()
    ground.known[3:, :2] = False
    gaussians = make_gaussians(300)
    means = torch.rand(300, 3) * torch.tensor([7.0, 5.5, 1.2]) * CELL_M + torch.tensor([0.5, -4.5, -0.9])
    leaves = [means, gaussians.quats, gaussians.log_scales]
    node_ids = (torch.arange(300) % 10 == 0).int()
    fast = [leaf.clone().requires_grad_() for leaf in leaves]
    loss = ground_loss(Gaussians(*fast, gaussians.opacity_logits, gaussians.colors), node_ids, ground)
    (3.0 * loss).backward()

    slow = [leaf.double().requires_grad_() for leaf in leaves]
    exact = Ground(ground.origin_m.double(), ground.heights_m.double(), ground.known)
    height_m, normal, known = ground_at(exact, slow[0])
    near = known & (node_ids == 0) & (height_m.abs() < GROUND_REACH_M)
    assert 30 < near.sum() < 200
    along = torch.einsum("nij,ni->nj", quaternion_rotation(slow[1]), normal) * slow[2].exp()
    expected = (height_m.abs() + along.norm(dim=-1))[near].sum() / 300
    (3.0 * expected).backward()
    torch.testing.assert_close(loss.double(), expected)
    for gradient, truth in zip(fast, slow, strict=True):
        torch.testing.assert_close(gradient.grad.double(), truth.grad, rtol=1e-4, atol=1e-7)


def test_what_was_laid_on_the_ground_is_not_pulled_about_by_rounding() -> None:
    ground, gaussians = small_ground(), make_gaussians(300)
    means = torch.rand(300, 3) * torch.tensor([3.9, 2.9, 0.1]) * CELL_M + torch.tensor([2.0, -3.0, 0.0])
    node_ids = torch.zeros(300, dtype=torch.int32)
    laid = lay_on_ground(dataclasses.replace(gaussians, means=means), node_ids, ground)
    near = ground_at(ground, laid.means)[0].abs() < 1e-5
    assert near.sum() > 50
    leaf = laid.means.clone().requires_grad_()
    ground_loss(dataclasses.replace(laid, means=leaf), node_ids, ground).backward()
    assert (leaf.grad[near] == 0).all() and (leaf.grad[~near] != 0).any()
