"""Density control: nodes follow their Gaussians, the ceiling holds, Adam's moments keep their rows."""

import math

import pytest
import torch
from torch.nn import Parameter

from faithfusion.scene.densify import new_statistics, observe, refine
from faithfusion.scene.scene_config import DensifyConfig
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator


def make_state(num: int) -> tuple[dict, dict, dict]:
    params = {
        "means": Parameter(torch.randn(num, 3)),
        "quats": Parameter(torch.randn(num, 4)),
        "scales": Parameter(torch.full((num, 3), -2.0)),
        "opacities": Parameter(torch.zeros(num)),
        "colors": Parameter(torch.arange(num).float()[:, None, None].repeat(1, 1, 3)),
    }
    optimizers = {name: torch.optim.Adam([value], lr=0.0) for name, value in params.items()}
    for name, value in params.items():
        value.grad = torch.arange(num).float().reshape(-1, *[1] * (value.dim() - 1)).expand_as(value).clone()
        optimizers[name].step()
    return params, optimizers, new_statistics(torch.arange(num) % 3)


def test_grow_and_prune_keep_every_row_together() -> None:
    params, optimizers, statistics = make_state(8)
    params["opacities"].data[5] = -9.0
    radii = torch.tensor([4, 4, 4, 40, 4, 4, 0, 4])
    gradient = torch.zeros(8, 2)
    gradient[[1, 3, 6]] = 1.0  # 1 is small, 3 is large, 6 is not visible
    observe(statistics, gradient, radii, 320, 192)
    config = DensifyConfig(max_gaussians=100, max_growth=1.0, split_radius=0.05)
    assert refine(params, optimizers, statistics, config, make_generator(0)) == (2, 1)
    origin = params["colors"].detach()[:, 0, 0].long()  # colours say which Gaussian a row came from
    assert sorted(origin.tolist()) == [0, 1, 1, 2, 3, 3, 4, 6, 7]
    assert torch.equal(statistics["node_ids"], origin % 3)
    assert statistics["gradient"].sum() == 0 and len(statistics["radius"]) == 9
    split = params["scales"].detach()[origin == 3]
    torch.testing.assert_close(split, torch.full((2, 3), -2.0 - math.log(1.6)))
    for name, optimizer in optimizers.items():
        (value,) = optimizer.param_groups[0]["params"]
        assert value is params[name]
        moment = optimizer.state[value]["exp_avg"].reshape(9, -1)[:, 0]
        old = torch.isin(origin, torch.tensor([0, 2, 4, 6, 7]))
        torch.testing.assert_close(moment[old], 0.1 * origin[old].float())


def test_ceiling_takes_the_strongest() -> None:
    params, optimizers, statistics = make_state(10)
    gradient = torch.arange(10).float()[:, None].repeat(1, 2)
    observe(statistics, gradient, torch.ones(10, dtype=torch.int), 100, 100)
    config = DensifyConfig(max_gaussians=12, max_growth=1.0)
    added, _ = refine(params, optimizers, statistics, config, make_generator(0))
    origin = params["colors"].detach()[:, 0, 0].long().tolist()
    assert added == 2 and sorted(origin) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9]
    assert refine(params, optimizers, statistics, config, make_generator(0)) == (0, 0)


def test_splits_are_the_same_for_the_same_generator() -> None:
    results = []
    for noise in range(2):
        torch.manual_seed(0)
        params, optimizers, statistics = make_state(4)
        observe(statistics, torch.ones(4, 2), torch.full((4,), 50), 100, 100)
        torch.manual_seed(noise)
        before = torch.random.get_rng_state()
        refine(params, optimizers, statistics, DensifyConfig(max_growth=1.0), make_generator(7, "refine"))
        assert torch.equal(before, torch.random.get_rng_state())
        results.append(params["means"].detach())
    assert torch.equal(*results)


def test_schedule_and_refusals() -> None:
    config = DensifyConfig(start_step=100, stop_step=300, every_steps=50)
    assert [step for step in range(1, 500) if config.is_due(step)] == [100, 150, 200, 250]
    with pytest.raises(InputError, match="every_steps = 0"):
        DensifyConfig(every_steps=0)
