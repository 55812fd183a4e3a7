from __future__ import annotations

import torch
from tiny_generator import TINY, tiny_generator, tiny_window

from faithfusion.utils.seed import make_generator
from faithfusion.video.conditioning import LatentConditions
from faithfusion.video.model import latent_conditions
from faithfusion.video.sample import SamplerConfig, sample_hold
from faithfusion.video.schedule import token_to_latent


class PointTarget:
    """The exact velocity field when the truth is one known clip: (x_t - x0) / t."""

    config = TINY

    def __init__(self, x0: torch.Tensor) -> None:
        self.x0, self.times = x0, []

    def velocity(self, x_t: torch.Tensor, time: torch.Tensor, conditions: LatentConditions) -> torch.Tensor:
        self.times.append(float(time[0]))
        return (x_t - self.x0) / time.reshape(-1, 1, 1, 1, 1)


def random_conditions() -> LatentConditions:
    phi = torch.rand(1, 2, 2, 3)
    phi[0, 0] = 0.0
    phi[0, 1, 0, 0] = 0.9
    return LatentConditions(torch.randn(1, 8, 2, 4, 6), torch.zeros(1, 68, 2, 4, 6), phi)


def test_released_tokens_reach_the_truth_and_held_tokens_stay_the_render() -> None:
    conditions = random_conditions()
    target = PointTarget(torch.randn_like(conditions.render_latent))
    result = sample_hold(target, conditions, SamplerConfig(steps=6), make_generator(0, "test"))
    released = (token_to_latent(conditions.phi) >= TINY.schedule.min_time).expand_as(result)
    torch.testing.assert_close(result[released], target.x0[released], atol=1e-5, rtol=1e-5)
    assert torch.equal(result[~released], conditions.render_latent[~released])


def test_steps_above_the_largest_noise_level_are_skipped() -> None:
    conditions = random_conditions()
    target = PointTarget(torch.zeros_like(conditions.render_latent))
    counts = []
    for scale in (1.0, 0.5, 0.2, 0.0):
        target.times.clear()
        scaled = LatentConditions(conditions.render_latent, conditions.eig_block, conditions.phi * scale)
        sample_hold(target, scaled, SamplerConfig(steps=6), make_generator(0, "test"))
        assert all(time <= float(scaled.phi.max()) + 1e-6 for time in target.times)
        counts.append(len(target.times))
    assert counts == sorted(counts, reverse=True) and counts[0] <= 6 and counts[-1] == 0


def test_the_same_stream_gives_the_same_latents_and_certain_tokens_never_move() -> None:
    generator, config = tiny_generator(trained=True), SamplerConfig(steps=3)
    conditions = latent_conditions(generator, [tiny_window(height=32, width=48)])
    conditions.phi[:, :, :, 0] = 0.0
    runs = [sample_hold(generator, conditions, config, make_generator(seed, "noise")) for seed in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert torch.equal(runs[0][..., :2], conditions.render_latent[..., :2])
