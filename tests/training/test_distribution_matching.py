from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from reference.distribution_matching import (
    CellNetwork,
    Mixture,
    clean_all,
    direction_loops,
    each_cell,
    moves,
    noised_all,
    wasserstein_1,
)
from tiny_generator import tiny_generator
from tiny_training import fixed_generator
from torch import Tensor

from faithfusion.training.config import TrainConfig
from faithfusion.training.data import LatentBatch
from faithfusion.training.distribution_matching import (
    FewStepState,
    Trio,
    critic_loss,
    few_step_state,
    student_loss,
    student_x0,
)
from faithfusion.training.flow import draw_times
from faithfusion.training.method import build_method
from faithfusion.training.method_config import DistributionMatchingConfig, FlowConfig
from faithfusion.video.editing.editor_config import SamplerConfig
from faithfusion.video.editing.sample import sample
from faithfusion.video.model.conditioning import LatentConditions
from faithfusion.video.model.config import LoraConfig, ScheduleConfig
from faithfusion.video.model.paths import path_state, path_times
from faithfusion.video.model.spec import BackboneSpec

PATHS = ("hold", "bridge", "per_token")
SHAPE = (2, 8, 2, 4, 6)


def batch(seed: int = 0) -> LatentBatch:
    """Two clips, the first nowhere completely unknown; some tokens are certain."""
    random = fixed_generator(seed)
    truth = torch.randn(SHAPE, generator=random)
    phi = torch.rand(2, 2, 2, 3, generator=random)
    phi[:, 0, 0, 0], phi[0], phi[1, 1, 1, 2] = 0.0, 0.7 * phi[0], 1.0
    conditions = LatentConditions(
        render_latent=truth + 0.3 * torch.randn(SHAPE, generator=random),
        eig_block=torch.rand(2, BackboneSpec().eig_channels, *SHAPE[2:], generator=random),
        phi=phi,
    )
    return LatentBatch(truth, conditions)


def trio(path: str) -> Trio:
    """Three different generators."""
    networks = []
    for seed in range(3):
        networks.append(tiny_generator(seed, trained=True, schedule__path=path, prior="none"))
    return Trio(*networks)


def slow_state(
    student: object, data: LatentBatch, config: DistributionMatchingConfig, random: torch.Generator
) -> tuple:
    """(x_t, time) of the student's step, clip by clip; in the method's own order of draws."""
    path, conditions = student.config.schedule.path, data.conditions
    render, phi = conditions.render_latent, conditions.phi
    chance = float(torch.rand((), generator=random))
    lists = []
    for b in range(2):
        largest = float(phi[b].max())
        largest = largest if path == "hold" else round(largest * 31) / 31
        lists.append(path_times(path, config.steps, student.config.schedule, largest)[:-1])
    chosen = [int(chance * len(times)) for times in lists]
    now = torch.tensor([times[0] for times in lists])
    x = noised_all(path, render, render, torch.randn(SHAPE, generator=random), now, phi)
    if not config.simulate:
        now = torch.tensor([times[k] for times, k in zip(lists, chosen, strict=True)])
        return noised_all(path, data.truth_latent, render, torch.randn(SHAPE, generator=random), now, phi), now
    for step in range(max(chosen)):
        with torch.no_grad():
            x0 = clean_all(path, x, student.velocity(x, now, conditions), now, phi)
        noise = torch.randn(SHAPE, generator=random)
        after = torch.tensor([times[min(step + 1, k)] for times, k in zip(lists, chosen, strict=True)])
        if path == "hold":  # what was not released yet stays the render
            for b, c, k, i, j in each_cell(SHAPE):
                if not moves(path, float(now[b]), float(phi[b, k, i // 2, j // 2])):
                    x0[b, c, k, i, j] = render[b, c, k, i, j]
        moved = noised_all(path, x0, render, noise, after, phi)
        x = torch.stack([moved[b] if step < chosen[b] else x[b] for b in range(2)])
        now = after
    return x, now


@pytest.mark.parametrize("simulate", [True, False])
@pytest.mark.parametrize("path", PATHS)
def test_losses_equal_the_slow_twin(path: str, simulate: bool) -> None:
    networks, data = trio(path), batch()
    config = DistributionMatchingConfig(steps=4, simulate=simulate, regression_weight=0.3)
    render, phi = data.conditions.render_latent, data.conditions.phi

    random = fixed_generator(3)
    x, now = slow_state(networks.student, data, config, random)
    x0 = clean_all(path, x, networks.student.velocity(x, now, data.conditions), now, phi)
    time = draw_times(phi, networks.teacher.config.schedule, random)
    counted = [
        (b, c, k, i, j)
        for b, c, k, i, j in each_cell(SHAPE)
        if moves(path, float(now[b]), float(phi[b, k, i // 2, j // 2]))
    ]
    made = render.clone()
    for cell in counted:
        made[cell] = x0[cell]
    noise = torch.randn(SHAPE, generator=random)
    x_t = noised_all(path, made, render, noise, time, phi)
    real, fake = (
        clean_all(path, x_t, network.velocity(x_t, time, data.conditions), time, phi)
        for network in (networks.teacher, networks.critic)
    )
    direction, count = direction_loops(path, made, real, fake, (now, time), phi)
    matching = 0.5 * float(direction.square().sum()) / count
    regression = sum(float(made[cell] - data.truth_latent[cell]) ** 2 for cell in counted) / len(counted)

    loss, values = student_loss(networks, data, data.conditions, config, fixed_generator(3))
    assert float(loss.detach()) == pytest.approx(matching + 0.3 * regression, rel=1e-4)
    assert float(values["matching"].detach()) == pytest.approx(matching, rel=1e-4)

    expected = critic_twin(networks.critic, path, made, data, time, noise, counted)
    loss = critic_loss(networks, data, data.conditions, config, fixed_generator(3))
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)


def critic_twin(
    critic: object, path: str, made: Tensor, data: LatentBatch, time: Tensor, noise: Tensor, counted: list
) -> float:
    """Flow matching on what the student made. Its draws are the student's: time, then noise."""
    render, phi = data.conditions.render_latent, data.conditions.phi
    state = path_state(path, made, render, noise, time, phi)
    velocity = critic.velocity(state.x_t, time, data.conditions)
    errors = []
    for b, c, k, i, j in counted:
        if moves(path, float(time[b]), float(phi[b, k, i // 2, j // 2])):
            errors.append(float(velocity[b, c, k, i, j] - state.target[b, c, k, i, j]) ** 2)
    return sum(errors) / len(errors)


@pytest.mark.parametrize("path", PATHS)
def test_the_gradient_at_x0_is_the_direction(path: str) -> None:
    """The student's weights get what they would get if the direction were added up over its clip."""
    networks, data = trio(path), batch()
    config = DistributionMatchingConfig(steps=2)
    weight = networks.student.branch.patch_embedding.weight.requires_grad_(True)
    loss, _ = student_loss(networks, data, data.conditions, config, fixed_generator(1))
    (gradient,) = torch.autograd.grad(loss, weight)
    random = fixed_generator(1)
    state = few_step_state(networks.student, data.truth_latent, data.conditions, config, random)
    x0 = student_x0(networks.student, state, data.conditions)
    time = draw_times(data.conditions.phi, networks.teacher.config.schedule, random)
    noise, render, phi = torch.randn(SHAPE, generator=random), data.conditions.render_latent, data.conditions.phi
    x_t = noised_all(path, x0.detach(), render, noise, time, phi)
    real, fake = (
        clean_all(path, x_t, network.velocity(x_t, time, data.conditions), time, phi)
        for network in (networks.teacher, networks.critic)
    )
    direction, count = direction_loops(path, x0.detach(), real, fake, (state.time, time), phi)
    (expected,) = torch.autograd.grad((x0 * direction).sum() / count, weight)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("path", PATHS)
def test_simulated_states_are_those_of_the_sampler(path: str) -> None:
    """The student's clip after its last step is what `sample` gives with the same noise."""
    student, data = tiny_generator(trained=True, schedule__path=path), batch()
    conditions = dataclasses.replace(data.conditions, phi=data.conditions.phi[1:].expand(2, -1, -1, -1))
    config = DistributionMatchingConfig(steps=4)
    seed = next(s for s in range(100) if torch.rand((), generator=fixed_generator(s)) > 0.8)
    random = fixed_generator(seed)
    state = few_step_state(student, data.truth_latent, conditions, config, random)
    random = fixed_generator(seed)
    torch.rand((), generator=random)
    expected = sample(student, conditions, SamplerConfig(steps=4, renoise=True), random)
    with torch.no_grad():
        assert float(state.time[0]) < 0.2, "the last step"
        torch.testing.assert_close(student_x0(student, state, conditions), expected, atol=1e-5, rtol=1e-5)


def test_every_step_of_the_list_is_trained_on() -> None:
    student, data = tiny_generator(schedule__path="bridge"), batch()
    config = DistributionMatchingConfig(steps=3, simulate=False)
    states = [
        few_step_state(student, data.truth_latent, data.conditions, config, fixed_generator(s)) for s in range(40)
    ]
    found = {round(float(state.time[1]), 4) for state in states}
    assert found == {round(time, 4) for time in path_times("bridge", 3, student.config.schedule, 1.0)[:-1]}
    assert isinstance(states[0], FewStepState)


@pytest.mark.parametrize("path", PATHS)
def test_certain_clips_teach_nothing(path: str) -> None:
    networks, data = trio(path), batch()
    certain = dataclasses.replace(data.conditions, phi=torch.zeros_like(data.conditions.phi))
    config = DistributionMatchingConfig(regression_weight=1.0)
    loss, values = student_loss(networks, data, certain, config, fixed_generator())
    assert float(loss.detach()) == 0.0 and float(values["counted_share"]) == 0.0
    assert float(critic_loss(networks, data, certain, config, fixed_generator()).detach()) == 0.0


def toy_batch() -> LatentBatch:
    """Sixteen clips of 8 x 8 tokens, half of them unknown, half of strength 0.6; the render knows nothing."""
    phi = torch.ones(16, 1, 8, 8)
    phi[..., 4:] = 0.6
    zeros = torch.zeros(16, 1, 1, 16, 16)
    return LatentBatch(zeros, LatentConditions(zeros, torch.zeros(16, BackboneSpec().eig_channels, 1, 16, 16), phi))


def toy_samples(model: object, steps: int, *, renoise: bool) -> Tensor:
    config = SamplerConfig(steps=steps, renoise=renoise)
    return torch.cat([sample(model, toy_batch().conditions, config, fixed_generator(seed)) for seed in range(3)])


def trained_toy(schedule: ScheduleConfig, teacher: Mixture, random: torch.Generator) -> CellNetwork:
    """A network that has learned the teacher's velocity by regression, as flow matching would."""
    network, conditions = CellNetwork(schedule), toy_batch().conditions
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(250):
        modes = torch.where(torch.rand(16, 1, 1, 16, 16, generator=random) < 0.5, -1.0, 1.0)
        x0 = modes + 0.2 * torch.randn(modes.shape, generator=random)
        time = 0.05 + 0.95 * torch.rand(16, generator=random)
        noise = torch.randn(modes.shape, generator=random)
        x_t = path_state("bridge", x0, conditions.render_latent, noise, time, conditions.phi).x_t
        wanted = teacher.velocity(x_t, time, conditions)
        loss = (network.velocity(x_t, time, conditions) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def test_few_steps_of_the_student_come_close_to_many_of_the_teacher() -> None:
    """Two modes in every cell. Two steps of the trained network end between them; distilled, they end in them."""
    schedule, random = ScheduleConfig(path="bridge", min_time=0.1), fixed_generator(1)
    teacher = Mixture(schedule)
    student = trained_toy(schedule, teacher, random)
    networks = Trio(student, teacher, copy.deepcopy(student))
    wanted = toy_samples(teacher, 64, renoise=False)
    before = toy_samples(student, 2, renoise=True)
    config = DistributionMatchingConfig(steps=2)
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=rate, betas=(0.0, 0.99))
        for network, rate in ((networks.critic, 2e-3), (student, 1e-3))
    ]
    for _ in range(100):
        for optimizer, updates in zip(optimizers, (2, 1), strict=True):
            for _ in range(updates):
                data = toy_batch()
                if updates == 2:
                    loss = critic_loss(networks, data, data.conditions, config, random)
                else:
                    loss, _ = student_loss(networks, data, data.conditions, config, random)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    after = toy_samples(student, 2, renoise=True)
    for half in (slice(0, 8), slice(8, 16)):  # phi = 1 and phi = 0.6
        distances = [wasserstein_1(clips[..., half], wanted[..., half]) for clips in (before, after)]
        assert distances[0] > 0.4 and distances[1] < 0.4 * distances[0], distances


def distillation(trainable: str = "branch", **changes: object) -> tuple:
    generator = tiny_generator(trained=True, **changes)
    config = TrainConfig(
        method="distribution_matching",
        init_from="teacher.safetensors",
        generator=generator.config,
        flow=FlowConfig(trainable=trainable),
        distribution_matching=DistributionMatchingConfig(critic_updates=3, critic_learning_rate=4e-3),
    )
    return config, generator, build_method(config, generator)


def test_roles_share_what_is_frozen_and_own_what_is_trained() -> None:
    config, generator, method = distillation(lora=LoraConfig(rank=2))
    assert method.updates == ("critic", "critic", "critic", "student")
    student, teacher, critic = method.networks
    assert student is generator
    assert teacher.backbone.proj_out.weight is critic.backbone.proj_out.weight is student.backbone.proj_out.weight
    assert critic.codec.block_encoder.weight is student.codec.block_encoder.weight
    names = {role: [name for name, _ in entry.module.named_parameters()] for role, entry in method.roles.items()}
    assert names["student"] == names["critic"] and {name.split(".")[0] for name in names["student"]} == {
        "branch",
        "backbone",
    }
    assert all("lora" in name for name in names["student"] if name.startswith("backbone"))
    own = [dict(network.named_parameters()) for network in method.networks]
    for name in names["student"]:
        assert len({id(parameters[name]) for parameters in own}) == 3
        assert torch.equal(own[0][name], own[1][name]) and torch.equal(own[0][name], own[2][name])
        assert not own[1][name].requires_grad
    assert method.roles["critic"].optimizer.learning_rate == 4e-3
    assert method.roles["critic"].optimizer.warmup_steps == config.optimizer.warmup_steps


@pytest.mark.parametrize("trainable", ["branch", "all"])
def test_each_role_trains_its_own_weights_only(trainable: str) -> None:
    _, generator, method = distillation(trainable, schedule__path="bridge")
    with torch.no_grad():  # else critic and teacher agree, and the student has nothing to learn
        for parameter in method.networks[2].branch.parameters():
            parameter.add_(0.1)
    before = copy.deepcopy([network.state_dict() for network in method.networks])
    for role, index in (("critic", 2), ("student", 0)):
        module = method.roles[role].module
        loss, _ = module(batch(), fixed_generator())
        loss.backward()
        torch.optim.SGD(module.parameters(), lr=1.0).step()
        changed = []
        for network, old in zip(method.networks, before, strict=True):
            changed.append(
                {name.split(".")[0] for name, v in network.state_dict().items() if not torch.equal(v, old[name])}
            )
        expected = {"branch"} if trainable == "branch" else {"branch", "backbone", "prompt"}
        assert changed[index] == expected, role
        assert not changed[1], "the teacher stays"
    assert changed[2] == expected, "the student's step left the critic where its own step had taken it"
