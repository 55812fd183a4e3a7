import dataclasses

import pytest
import torch
from reference.flow import path_state_loops
from tiny_generator import tiny_generator
from tiny_training import fixed_generator
from torch import Tensor

from faithfusion.training.data import LatentBatch
from faithfusion.training.flow import FlowMethod, draw_conditions, draw_times, loss_by_decile
from faithfusion.training.method_config import FlowConfig, PhiConfig
from faithfusion.video.model.conditioning import LatentConditions
from faithfusion.video.model.config import ScheduleConfig
from faithfusion.video.model.spec import BackboneSpec

OWN_PHI = PhiConfig(ones=0.0, smooth=0.0, history=0.0)


def batch(seed: int = 0) -> LatentBatch:
    random = fixed_generator(seed)
    truth = torch.randn(2, 8, 2, 4, 6, generator=random)
    conditions = LatentConditions(
        render_latent=truth + 0.3 * torch.randn(truth.shape, generator=random),
        eig_block=torch.rand(2, BackboneSpec().eig_channels, 2, 4, 6, generator=random),
        phi=0.1 + 0.8 * torch.rand(2, 2, 2, 3, generator=random),
    )
    return LatentBatch(truth, conditions)


def slow_loss(method: FlowMethod, data: LatentBatch, config: FlowConfig) -> Tensor:
    """The loss cell by cell, from the definition, with the method's own order of draws."""
    generator, model = fixed_generator(), method._hidden_generator[0]
    path = model.config.schedule.path
    conditions = draw_conditions(data, OWN_PHI, generator)
    time = draw_times(conditions.phi, model.config.schedule, generator)
    noise = torch.randn(data.truth_latent.shape, generator=generator)
    phi = conditions.phi if path == "hold" else (conditions.phi * 31).round() / 31
    x_t, target, counts = path_state_loops(path, data.truth_latent, conditions.render_latent, noise, time, phi)
    velocity = model.velocity(x_t, time, conditions)
    total, weights = 0.0, 0.0
    for b, t, y, x in torch.cartesian_prod(*map(torch.arange, (2, 2, 4, 6))).tolist():
        rising = 1.0 + config.phi_weight * phi[b, t, y // 2, x // 2]
        weight = rising if counts[b, 0, t, y, x] else config.held_weight
        total = total + weight * (velocity[b, :, t, y, x] - target[b, :, t, y, x]).square().mean()
        weights = weights + weight
    return total / weights


@pytest.mark.parametrize("path", ["hold", "bridge", "per_token"])
def test_loss_and_gradient_equal_the_slow_twin(path: str) -> None:
    generator = tiny_generator(trained=True, schedule__path=path)
    config = FlowConfig(trainable="all", held_weight=0.2, phi_weight=0.5, phi=OWN_PHI)
    method, data = FlowMethod(config, generator), batch()
    data.conditions.phi[:, 0, 0] = 0.0
    loss, values = method(data, fixed_generator())
    slow = slow_loss(method, data, config)
    assert 0.0 < float(values["released_share"]) < 1.0, "both kinds of tokens are covered"
    assert torch.allclose(loss, slow, rtol=1e-5)
    weight = generator.branch.patch_embedding.weight
    (fast_gradient,) = torch.autograd.grad(loss, weight)
    (slow_gradient,) = torch.autograd.grad(slow, weight)
    assert torch.allclose(fast_gradient, slow_gradient, rtol=1e-3, atol=1e-7)


def test_loss_falls_on_a_fixed_batch() -> None:
    method = FlowMethod(FlowConfig(trainable="all", phi=OWN_PHI), tiny_generator())
    optimizer = torch.optim.AdamW(method.parameters(), lr=5e-3)
    losses = []
    for _ in range(40):
        loss, _ = method(batch(), fixed_generator())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_branch_training_leaves_backbone_and_codec_frozen_and_unregistered() -> None:
    generator = tiny_generator(trained=True)
    method = FlowMethod(FlowConfig(trainable="branch"), generator)
    assert {name.split(".")[0] for name, _ in method.named_parameters()} == {"branch"}
    method(batch(), fixed_generator())[0].backward()
    assert all(p.grad is None for part in (generator.backbone, generator.codec) for p in part.parameters())
    assert generator.branch.patch_embedding.weight.grad.abs().sum() > 0


def test_names_are_the_generators_own() -> None:
    generator = tiny_generator()
    names = {name for name, _ in FlowMethod(FlowConfig(trainable="all"), generator).named_parameters()}
    assert names == {name for name, _ in generator.named_parameters() if not name.startswith("codec.")}


def test_certain_windows_have_no_loss_with_the_render_prior() -> None:
    method = FlowMethod(FlowConfig(held_weight=1.0, phi=OWN_PHI), tiny_generator(trained=True))
    data = batch()
    certain = LatentBatch(
        data.truth_latent, dataclasses.replace(data.conditions, phi=torch.zeros_like(data.conditions.phi))
    )
    loss, values = method(certain, fixed_generator())
    assert float(loss.detach()) < 1e-8 and float(values["released_share"]) == 0.0


def test_times_lie_between_the_schedules_smallest_and_the_largest_phi() -> None:
    phi = torch.zeros(300, 1, 2, 2)
    phi[:100, 0, 0, 0], phi[100:200, 0, 0, 0] = 0.6, 0.05
    times = draw_times(phi, ScheduleConfig(min_time=0.1), fixed_generator())
    assert float(times[:100].min()) >= 0.1 and 0.5 < float(times[:100].max()) <= 0.6
    assert torch.allclose(times[100:200], torch.tensor(0.05)), "a phi below the smallest time is met where it is"
    assert float(times[200:].min()) >= 0.1 and float(times[200:].max()) <= 1.0


def test_times_of_the_bridge_are_relative_to_the_largest_phi() -> None:
    phi = torch.zeros(200, 1, 2, 2)
    phi[:100, 0, 0, 0] = 0.6
    hold, bridge = (
        draw_times(phi, ScheduleConfig(path=path, min_time=0.1), fixed_generator()) for path in ("hold", "bridge")
    )
    largest = round(0.6 * 31) / 31
    assert float(bridge[:100].min()) >= 0.1 / largest - 1e-6 and float(bridge[:100].max()) <= 1.0
    assert torch.allclose(bridge[:100] * largest, 0.1 + (hold[:100] - 0.1) * (largest - 0.1) / 0.5, atol=1e-5)


def test_history_is_true_content_without_error() -> None:
    data = batch()
    conditions = draw_conditions(data, dataclasses.replace(OWN_PHI, history=1.0), fixed_generator())
    assert torch.equal(conditions.render_latent[:, :, 0], data.truth_latent[:, :, 0])
    assert not conditions.phi[:, 0].any() and not conditions.eig_block[:, :-1, 0].any()
    assert torch.equal(conditions.eig_block[:, -1], data.conditions.eig_block[:, -1]), "coverage stays"
    assert isinstance(conditions, LatentConditions)


def test_deciles_follow_the_order_of_phi() -> None:
    phi = torch.rand(2, 1, 5, 4, generator=fixed_generator())
    squared = phi.repeat_interleave(2, -2).repeat_interleave(2, -1)[:, None]
    released = torch.ones_like(squared, dtype=torch.bool)
    values = [float(value) for value in loss_by_decile(squared, released, phi).values()]
    assert len(values) == 10 and values == sorted(values)
    assert sum(values) / 10 == pytest.approx(float(squared.mean()), rel=1e-5)
    held = loss_by_decile(squared, squared > 0.5, phi)
    assert float(held["loss_eig_decile_0"]) == 0.0, "nothing of it was released"
    assert float(held["loss_eig_decile_9"]) == pytest.approx(values[9])


def test_history_of_vace_is_shown_and_not_masked() -> None:
    data = batch()
    vace = torch.rand(2, BackboneSpec(8).vace_channels, 2, 4, 6, generator=fixed_generator())
    data = LatentBatch(data.truth_latent, dataclasses.replace(data.conditions, vace=vace))
    found = draw_conditions(data, dataclasses.replace(OWN_PHI, history=1.0), fixed_generator()).vace
    assert torch.equal(found[:, :8, 0], data.truth_latent[:, :, 0])
    assert torch.equal(found[:, 8:16], vace[:, 8:16]) and not found[:, 16:, 0].any()
    kept = draw_conditions(data, OWN_PHI, fixed_generator()).vace
    assert torch.equal(kept, vace)
