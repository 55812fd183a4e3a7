"""Steps in the posterior's metric: the twin by loops, plain Adam as a special case, what is settled stays."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from reference.eig_scene import make_scene, make_views
from reference.whitened import move_by_loops, triangle
from torch.nn import Parameter

from faithfusion.eig.config import EigConfig
from faithfusion.eig.field import EigField
from faithfusion.eig.posterior import prior_precision
from faithfusion.eig.step_roots import limited_roots, step_roots
from faithfusion.fit.fit_config import OptimiserConfig
from faithfusion.fit.optimiser import SceneOptimiser
from faithfusion.fit.supervised_view import SupervisedView
from faithfusion.fit.whitened import Metric, WhitenedGaussians
from faithfusion.render.render_view import render_view
from faithfusion.scene.scene_config import DensifyConfig
from faithfusion.types import Gaussians, GaussianScene
from faithfusion.utils.seed import make_generator

CONFIG = EigConfig(pixels_per_observation=1.0)
RATE = 0.1


def known_scene() -> EigField:
    scene, views = make_scene(), make_views(2)
    seen = [dataclasses.replace(view, image=render_view(scene, view.camera, 0).color) for view in views]
    return EigField.fit(scene, seen, CONFIG)


def seen_otherwise(scene: GaussianScene) -> SupervisedView:
    """A picture that the scene does not show."""
    view = make_views(1)[0]
    image = render_view(scene, view.camera, 0).color.detach().flip(1)
    return SupervisedView(view.camera, 0, image, torch.ones(image.shape[:2]))


@pytest.mark.parametrize("size", [0.0, 1e-4, 0.3, 4.0])
def test_value_and_gradient_equal_the_loops(size: float) -> None:
    """`size`: of theta; the turns are about as large, in radians."""
    start, generator = make_scene().gaussians, make_generator(0, "whitened")
    roots = torch.randn(start.num, 91, generator=generator) * 0.5
    theta = Parameter(size * torch.randn(start.num, 13, generator=generator))
    moved = WhitenedGaussians(start, roots).gaussians({"theta": theta})
    pulls = {name: torch.randn(value.shape, generator=generator) for name, value in vars(moved).items()}
    sum((value * pulls[name]).sum() for name, value in vars(moved).items()).backward()

    exact = Gaussians(**{name: value.double() for name, value in vars(start).items()})
    exact_theta = theta.detach().double().requires_grad_()
    expected = move_by_loops(exact, roots.double(), exact_theta)
    sum((value * pulls[name].double()).sum() for name, value in vars(expected).items()).backward()
    for name, value in vars(expected).items():
        torch.testing.assert_close(getattr(moved, name).double(), value, atol=2e-5, rtol=1e-5, msg=name)
    torch.testing.assert_close(theta.grad.double(), exact_theta.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.gpu
def test_a_gpu_gives_the_same() -> None:
    start, generator = make_scene().gaussians, make_generator(0, "whitened")
    roots, theta = (torch.randn(start.num, width, generator=generator) for width in (91, 13))
    found = {}
    for device in ("cpu", "cuda"):
        on_device = Gaussians(**{name: value.to(device) for name, value in vars(start).items()})
        parameter = Parameter(theta.to(device))
        moved = WhitenedGaussians(on_device, roots.to(device)).gaussians({"theta": parameter})
        sum((value * value).sum() for value in vars(moved).values()).backward()
        found[device] = [*vars(moved).values(), parameter.grad]
    for on_cpu, on_gpu in zip(found["cpu"], found["cuda"], strict=True):
        torch.testing.assert_close(on_gpu.cpu(), on_cpu, atol=1e-4, rtol=1e-4)


def test_equal_roots_give_plain_adam() -> None:
    """With L = s I and no rotations Adam on theta with the rate a is Adam on the parameters with the rate s a."""
    scene, scale = make_scene(), 0.2
    step = scale * RATE
    config = OptimiserConfig(
        means_lr=step, quats_lr=0.0, scales_lr=step, opacities_lr=step, colors_lr=step, means_lr_end=0.5, lr_end=0.5
    )
    L = torch.diag(torch.tensor([scale] * 6 + [0.0] * 3 + [scale] * 4))
    roots = L[tuple(torch.tril_indices(13, 13))].expand(scene.gaussians.num, -1)
    plain = SceneOptimiser(scene, config, num_steps=10, extent_m=1.0)
    whitened = SceneOptimiser(scene, config, num_steps=10, extent_m=1.0, metric=Metric(roots, RATE, 0.5))
    view = seen_otherwise(scene)
    for _ in range(5):
        assert plain.step(view) == pytest.approx(whitened.step(view), rel=1e-4)
    for name, value in vars(plain.scene().gaussians).items():
        start, found = getattr(scene.gaussians, name), getattr(whitened.scene().gaussians, name)
        assert name == "quats" or not torch.equal(value, start)
        torch.testing.assert_close(found, value, atol=2e-3 * step, rtol=1e-4, msg=name)
    torch.testing.assert_close(whitened.sky, plain.sky)


def moved_parameters(start: Gaussians, end: Gaussians) -> torch.Tensor:
    """[N, 13], as the block has them."""
    parts = [end.means - start.means, end.log_scales - start.log_scales]
    p, q = (torch.nn.functional.normalize(of.quats, dim=-1) for of in (start, end))
    vector = p[:, :1] * q[:, 1:] - q[:, :1] * p[:, 1:] - torch.linalg.cross(p[:, 1:], q[:, 1:])
    parts += [2.0 * vector * (p * q).sum(1, keepdim=True).sign()]  # of conj(p) q, for small turns
    parts += [(end.opacity_logits - start.opacity_logits)[:, None], (end.colors - start.colors)[:, 0]]
    return torch.cat(parts, dim=1).detach().double()


def test_settled_directions_move_less_than_open_ones() -> None:
    """In units of the prior, along the axes of every Gaussian's posterior, and less than by plain Adam."""
    known = known_scene()
    scene, roots = known.scene, step_roots(known)
    scale, shares = prior_precision(scene.gaussians, CONFIG).double().sqrt(), []
    for metric in (None, Metric(roots, RATE, 1.0)):
        optimiser = SceneOptimiser(scene, OptimiserConfig(), num_steps=20, extent_m=10.0, metric=metric)
        for _ in range(20):
            optimiser.step(seen_otherwise(scene))
        moved = scale * moved_parameters(scene.gaussians, optimiser.scene().gaussians)
        axes = [torch.linalg.svd(triangle(root.double()) * of).Vh for root, of in zip(roots, scale, strict=True)]
        along = (torch.stack(axes) @ moved[:, :, None])[:, :, 0].abs()
        shares.append(float(along[:, -4:].sum() / along[:, :4].sum()))
    plain, whitened = shares
    assert 0.0 < whitened < 0.1 and whitened < 0.5 * plain


def test_positions_are_held_to_a_deviation_and_nothing_else_is() -> None:
    """The covariance becomes S C S with S one factor per Gaussian for its position."""
    roots = step_roots(known_scene())
    before = torch.stack([triangle(root.double()).T @ triangle(root.double()) for root in roots])
    std_m = before[:, :3, :3].diagonal(dim1=1, dim2=2).sum(1).sqrt()
    most_m = std_m * torch.linspace(0.2, 1.8, len(std_m), dtype=torch.float64)
    limited = limited_roots(roots, most_m.float())
    after = torch.stack([triangle(root.double()).T @ triangle(root.double()) for root in limited])
    S = torch.eye(13, dtype=torch.float64).repeat(len(roots), 1, 1)
    S[:, [0, 1, 2], [0, 1, 2]] = (most_m / std_m).clamp_max(1.0)[:, None]
    torch.testing.assert_close(after, S @ before @ S, rtol=1e-4, atol=1e-9)
    assert torch.equal(limited[most_m > std_m], roots[most_m > std_m]) and (most_m < std_m).any()


def test_the_same_steps_end_at_the_same_bits() -> None:
    known, ends = known_scene(), []
    for _ in range(2):
        metric = Metric(step_roots(known), RATE, 0.1)
        optimiser = SceneOptimiser(known.scene, OptimiserConfig(), num_steps=5, extent_m=1.0, metric=metric)
        for _ in range(5):
            optimiser.step(seen_otherwise(known.scene))
        ends.append(optimiser.scene().gaussians)
    for name, value in vars(ends[0]).items():
        assert torch.equal(value, getattr(ends[1], name)), name


def test_harmonics_are_marginalised_and_keep_their_own_steps() -> None:
    scene = make_scene()
    higher = 0.1 * torch.randn(scene.gaussians.num, 3, 3, generator=make_generator(0, "harmonics"))
    colors = torch.cat([scene.gaussians.colors, higher], dim=1)
    scene = dataclasses.replace(scene, gaussians=dataclasses.replace(scene.gaussians, colors=colors))
    known = EigField.fit(scene, make_views(2), CONFIG)
    assert known.roots is None
    roots = step_roots(known)
    for k in (0, 7):
        precision = torch.zeros(22, 22, dtype=torch.float64)
        precision[tuple(torch.triu_indices(22, 22))] = known.posterior.precision[k].double()
        covariance = torch.linalg.inv(precision + precision.triu(1).T)[:13, :13]
        L = triangle(roots[k].double())
        deviation = covariance.diagonal().sqrt()
        error = (L.T @ L - covariance) / (deviation[:, None] * deviation)
        assert error.abs().max() < 1e-4
    optimiser = SceneOptimiser(scene, OptimiserConfig(), num_steps=5, extent_m=1.0, metric=Metric(roots, RATE, 0.1))
    assert optimiser.step(seen_otherwise(scene))["photometric"] > 0
    moved = optimiser.scene().gaussians.colors.detach()
    assert (moved[:, 0] != colors[:, 0]).any() and (moved[:, 1:] != higher).any()


def test_a_metric_and_growth_exclude_each_other() -> None:
    known = known_scene()
    metric = Metric(step_roots(known), RATE, 0.1)
    with pytest.raises(ValueError, match="density"):
        SceneOptimiser(
            known.scene, OptimiserConfig(), num_steps=1, extent_m=1.0, metric=metric, densify=DensifyConfig()
        )
