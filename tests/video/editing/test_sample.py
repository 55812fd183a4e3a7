from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny_generator import TINY, tiny_config, tiny_generator, tiny_window

from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator
from faithfusion.video.editing.editor_config import SamplerConfig
from faithfusion.video.editing.encode import latent_conditions
from faithfusion.video.editing.sample import sample
from faithfusion.video.model.conditioning import LatentConditions
from faithfusion.video.model.paths import path_phi, rounded_phi
from faithfusion.video.model.time_schedule import token_to_latent

PATHS = ["hold", "bridge", "per_token"]


class PointTarget:
    """The exact velocity field when the truth is one known clip: what is left to it, over the time that is left."""

    def __init__(self, x0: torch.Tensor, path: str) -> None:
        self.config = tiny_config(schedule__path=path)
        self.x0, self.times = x0, []

    def prepare(self, conditions: LatentConditions) -> LatentConditions:
        return conditions

    def velocity(
        self, x_t: torch.Tensor, time: torch.Tensor, conditions: LatentConditions, *, path: str, **_: object
    ) -> torch.Tensor:
        self.times.append(float(time[0]))
        left = time.reshape(-1, 1, 1, 1, 1) * (
            path_phi(path, conditions.phi, conditions.render_latent) if path == "per_token" else 1.0
        )
        return (x_t - self.x0) / left.clamp_min(1e-9)


def random_conditions() -> LatentConditions:
    phi = 0.05 + 0.95 * torch.rand(1, 2, 2, 3)
    phi[0, 0] = 0.0
    phi[0, 1, 0, 0] = 0.9
    return LatentConditions(torch.randn(1, 8, 2, 4, 6), torch.zeros(1, 68, 2, 4, 6), phi)


@pytest.mark.parametrize("renoise", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_active_tokens_reach_the_truth_and_the_others_stay_the_render(path: str, renoise: bool) -> None:
    conditions = random_conditions()
    target = PointTarget(torch.randn_like(conditions.render_latent), path)
    result = sample(target, conditions, SamplerConfig(steps=6, renoise=renoise), make_generator(0, "test"))
    lowest = TINY.schedule.min_time if path == "hold" else 1e-3
    moving = (path_phi(path, conditions.phi, conditions.render_latent) >= lowest).expand_as(result)
    torch.testing.assert_close(result[moving], target.x0[moving], atol=1e-5, rtol=1e-5)
    assert torch.equal(result[~moving], conditions.render_latent[~moving])


@pytest.mark.parametrize("shift", [1.0, 16.0])
@pytest.mark.parametrize("path", PATHS)
def test_every_step_is_an_evaluation_whatever_the_largest_noise_level(path: str, shift: float) -> None:
    conditions = random_conditions()
    target = PointTarget(torch.zeros_like(conditions.render_latent), path)
    target.config = tiny_config(schedule__path=path, schedule__shift=shift)
    for scale, expected in ((1.0, 25), (0.5, 25), (0.2, 25), (0.0, 0)):
        target.times.clear()
        scaled = dataclasses.replace(conditions, phi=conditions.phi * scale)
        sample(target, scaled, SamplerConfig(steps=25), make_generator(0, "test"))
        largest = float(scaled.phi.max()) if path == "hold" else 1.0
        assert len(target.times) == expected and target.times == sorted(target.times, reverse=True)
        assert not target.times or target.times[0] == pytest.approx(largest)


@pytest.mark.parametrize("path", PATHS)
def test_the_same_stream_gives_the_same_latents_and_certain_tokens_never_move(path: str) -> None:
    generator, config = tiny_generator(trained=True, schedule__path=path), SamplerConfig(steps=3)
    conditions = latent_conditions(generator, [tiny_window(height=32, width=48)])
    conditions.phi[:, :, :, 0] = 0.0
    runs = [sample(generator, conditions, config, make_generator(seed, "noise")) for seed in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert torch.equal(runs[0][..., :2], conditions.render_latent[..., :2])


@pytest.mark.parametrize("path", PATHS)
def test_temperature_scales_the_noise_and_without_any_nothing_is_left_to_chance(path: str) -> None:
    generator = tiny_generator(trained=True, schedule__path=path)
    conditions = latent_conditions(generator, [tiny_window(height=32, width=48)])

    def sampled(temperature: float, seed: int, **changes: object) -> torch.Tensor:
        config = SamplerConfig(temperature=temperature, **changes)
        return sample(generator, conditions, config, make_generator(seed, "noise"))

    for renoise in (False, True):
        assert torch.equal(sampled(0.0, 1, steps=3, renoise=renoise), sampled(0.0, 2, steps=3, renoise=renoise))
    apart = [(sampled(t, 1, steps=1) - sampled(t, 2, steps=1)).abs().mean() for t in (0.2, 0.6, 1.0)]
    assert 0.0 < apart[0] < apart[1] < apart[2]
    target = PointTarget(torch.zeros_like(conditions.render_latent), path)
    starts = []
    target.velocity = lambda x, *_, **__: starts.append(x) or torch.zeros_like(x)
    for temperature in (0.0, 0.5, 1.0):
        sample(target, conditions, SamplerConfig(steps=1, temperature=temperature), make_generator(0, "noise"))
    torch.testing.assert_close(starts[1], 0.5 * (starts[0] + starts[2]))
    assert not torch.equal(starts[0], starts[2])


def mixed_conditions(generator: object, frames: int = 9) -> LatentConditions:
    """About half of the tokens certain, in no particular order."""
    conditions = latent_conditions(generator, [tiny_window(frames=frames, poses=True, warped=2)])
    phi = torch.rand(conditions.phi.shape, generator=make_generator(3, "phi"))
    conditions.phi.copy_(torch.where(phi < 0.5, 0.0, phi))
    return conditions


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"branch__init": "vace", "branch__num_blocks": 3, "branch__references": True},
        {"branch__warped": 2, "branch__mix_views": True},
    ],
)
@pytest.mark.parametrize("prior", ["none", "render"])
@pytest.mark.parametrize("path", ["bridge", "per_token"])
def test_sparse_is_dense_with_the_exact_attention_pattern(path: str, prior: str, changes: dict[str, object]) -> None:
    generator = tiny_generator(trained=True, schedule__path=path, attention="prefix", prior=prior, **changes)
    if "branch__init" in changes:
        for weight in (generator.branch.proj_in.weight, *(p.weight for p in generator.branch.references.to_out)):
            torch.nn.init.normal_(weight, std=0.2)
    if "branch__mix_views" in changes:
        torch.nn.init.normal_(generator.branch.mixer.weight, std=0.2)
    conditions = mixed_conditions(generator)
    dense, sparse = (
        sample(generator, conditions, SamplerConfig(steps=5, sparse=sparse), make_generator(0, "noise"))
        for sparse in (False, True)
    )
    assert (dense - conditions.render_latent).abs().max() > 0.1
    torch.testing.assert_close(sparse, dense, atol=1e-4, rtol=1e-4)
    full = dataclasses.replace(generator.config, attention="full")
    generator.config = full
    other = sample(generator, conditions, SamplerConfig(steps=5), make_generator(0, "noise"))
    assert (other - dense).abs().max() > 1e-3, "the pattern matters"


def test_sparse_computes_active_tokens_only() -> None:
    generator = tiny_generator(trained=True, schedule__path="bridge", attention="prefix")
    conditions = mixed_conditions(generator)
    seen = []
    generator.backbone.blocks[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    sample(generator, conditions, SamplerConfig(steps=4, sparse=True), make_generator(0, "noise"))
    active = int((rounded_phi(conditions.phi) > 0).sum())
    assert seen[0] == conditions.phi.numel() - active and set(seen[1:]) == {active} and len(seen) == 5


def test_sparse_samples_of_a_batch_are_those_of_its_clips_and_extremes_work() -> None:
    generator = tiny_generator(trained=True, schedule__path="bridge", attention="prefix")
    window = tiny_window()
    conditions = latent_conditions(generator, [window, window])
    conditions.phi[0].fill_(1.0)
    conditions.phi[1].zero_()
    result = sample(generator, conditions, SamplerConfig(steps=2, sparse=True), make_generator(0, "noise"))
    assert torch.equal(result[1], conditions.render_latent[1])
    assert (result[0] - conditions.render_latent[0]).abs().max() > 0.1


def test_sparse_of_hold_is_refused() -> None:
    generator = tiny_generator()
    conditions = latent_conditions(generator, [tiny_window()])
    with pytest.raises(InputError, match="hold"):
        sample(generator, conditions, SamplerConfig(sparse=True), make_generator(0, "noise"))


def test_hold_works_with_weights_of_any_path() -> None:
    generator = tiny_generator(trained=True, schedule__path="bridge")
    conditions = latent_conditions(generator, [tiny_window()])
    result = sample(generator, conditions, SamplerConfig(path="hold", steps=2), make_generator(0, "noise"))
    held = (token_to_latent(conditions.phi, result) < generator.config.schedule.min_time).expand_as(result)
    assert torch.equal(result[held], conditions.render_latent[held]) and result.isfinite().all()


@torch.no_grad()
def test_guidance_goes_away_from_the_negative_prompt() -> None:
    generator = tiny_generator(trained=True, schedule__path="bridge", attention="prefix", prior="none")
    conditions = mixed_conditions(generator)
    plain = SamplerConfig(steps=1)
    with pytest.raises(InputError, match="negative prompt"):
        sample(generator, conditions, SamplerConfig(steps=1, guidance=3.0), make_generator(0, "noise"))
    own = generator.prompt.data.clone()
    generator.negative_prompt = torch.randn_like(own)
    wanted = sample(generator, conditions, plain, make_generator(0, "noise"))
    generator.prompt.data.copy_(generator.negative_prompt)
    unwanted = sample(generator, conditions, plain, make_generator(0, "noise"))
    generator.prompt.data.copy_(own)
    for sparse in (False, True):
        config = SamplerConfig(steps=1, guidance=3.0, sparse=sparse)
        found = sample(generator, conditions, config, make_generator(0, "noise"))
        torch.testing.assert_close(found, unwanted + 3.0 * (wanted - unwanted), atol=1e-4, rtol=1e-4)
    assert (wanted - unwanted).abs().max() > 1e-4
