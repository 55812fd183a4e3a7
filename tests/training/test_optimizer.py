import pytest
import torch
from torch import nn

from faithfusion.training.optimizer import build_optimizer, learning_rate
from faithfusion.training.run_config import OptimizerConfig


def test_learning_rate_warms_up_and_follows_the_cosine() -> None:
    config = OptimizerConfig(learning_rate=1e-3, warmup_steps=4, final_fraction=0.1)
    assert learning_rate(config, 0, 0.0) == pytest.approx(0.25e-3)
    assert learning_rate(config, 3, 0.0) == pytest.approx(1e-3)
    assert learning_rate(config, 50, 0.5) == pytest.approx(1e-3 * (0.1 + 0.9 * 0.5))
    assert learning_rate(config, 99, 1.0) == pytest.approx(1e-4)
    assert learning_rate(config, 99, 1.7) == pytest.approx(1e-4), "a run past its time keeps the last rate"
    rates = [learning_rate(config, 10, p / 20) for p in range(21)]
    assert rates == sorted(rates, reverse=True)


def test_constant_schedule_ignores_progress() -> None:
    config = OptimizerConfig(schedule="constant", warmup_steps=0)
    assert learning_rate(config, 0, 0.0) == learning_rate(config, 9, 0.9) == config.learning_rate


def test_vectors_have_no_decay_and_frozen_weights_no_group() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    module[1].weight.requires_grad_(False)
    optimizer = build_optimizer(OptimizerConfig(weight_decay=0.3), module)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay == {id(module[0].weight): 0.3, id(module[0].bias): 0.0, id(module[1].bias): 0.0}


def test_first_step_is_adams() -> None:
    module = nn.Linear(2, 1, bias=False)
    before = module.weight.detach().clone()
    config = OptimizerConfig(learning_rate=0.1, weight_decay=0.0, epsilon=0.0)
    optimizer = build_optimizer(config, module)
    module(torch.tensor([[1.0, -2.0]])).sum().backward()
    optimizer.step()
    expected = before - 0.1 * torch.tensor([[1.0, -1.0]])  # m / sqrt(v) is the sign at the first step
    assert torch.allclose(module.weight, expected, atol=1e-6)
