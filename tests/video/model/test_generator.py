from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
import torch
from tiny_generator import TINY, tiny_generator, tiny_window

from faithfusion.utils.seed import make_generator
from faithfusion.video.editing.encode import latent_conditions
from faithfusion.video.model.conditioning import split_warped
from faithfusion.video.model.config import GeneratorConfig
from faithfusion.video.model.generator import build_generator
from faithfusion.video.model.mixture import START_WEIGHT
from faithfusion.video.model.paths import path_state, predict_x0


def test_the_same_stream_builds_the_same_weights_and_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (build_generator(TINY, make_generator(0, "init")) for _ in range(2))
    other = build_generator(TINY, make_generator(1, "init"))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.prompt, other.prompt)


@pytest.mark.parametrize(
    "path", ["hold", *(pytest.param(path, marks=pytest.mark.slow) for path in ("bridge", "per_token"))]
)
def test_the_generator_learns_to_undo_a_known_error(path: str) -> None:
    """The truth differs from the render by a constant per latent channel, which the prior cannot know."""
    batch = 8
    wide = dataclasses.replace(TINY.wan, head_dim=32, ffn_dim=128, freq_dim=64)
    generator = tiny_generator(wan=wide, schedule__path=path).train()
    window = tiny_window(height=32, width=32)
    window.eig.expected_sq_error.fill_(0.05)
    with torch.no_grad():
        conditions = latent_conditions(generator, [window] * batch)
    render = conditions.render_latent
    truth = render + torch.linspace(-1, 1, 8).reshape(1, 8, 1, 1, 1)
    random = make_generator(0, "train")
    optimizer = torch.optim.AdamW([*generator.backbone.parameters(), *generator.branch.parameters()], lr=3e-3)
    losses = []
    for _ in range(100):
        time = 0.1 + 0.5 * torch.rand(batch, generator=random)
        noise = torch.randn(truth.shape, generator=random)
        state = path_state(path, truth, render, noise, time, conditions.phi)
        error = (generator.velocity(state.x_t, time, conditions) - state.target) * state.counts
        loss = error.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.35 * sum(losses[:10])


def test_default_sizes() -> None:
    generator = build_generator(GeneratorConfig(), make_generator(0, "init"))
    assert sum(parameter.numel() for parameter in generator.parameters()) < 12e6  # 24 MB in bfloat16


def test_editor_and_composite_do_not_import_diffusers() -> None:
    code = "import sys, faithfusion.video.editing.editor; sys.exit('diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@torch.no_grad()
def test_the_guess_of_an_untrained_generator_is_a_mixture_that_keeps_the_render_in_the_lead() -> None:
    generator = tiny_generator(schedule__path="bridge", branch__warped=2, branch__mix_views=True)
    window = tiny_window(warped=2)
    window.warped.trust[0] = 1.0
    window.warped.trust[1] = 0.0
    conditions = latent_conditions(generator, [window])
    conditions.phi.fill_(1.0)
    x_t, time = torch.randn_like(conditions.render_latent), torch.tensor([1.0])
    clean = predict_x0("bridge", x_t, generator.velocity(x_t, time, conditions), time, conditions.phi)
    share = 1.0 / (1.0 + 2 * START_WEIGHT / (1.0 - START_WEIGHT))
    views, trust = split_warped(conditions.warped, 2)
    assert trust[:, 0].min() == 1.0 and trust[:, 1].max() == 0.0
    torch.testing.assert_close(clean, torch.lerp(conditions.render_latent, views[:, 0], share), atol=1e-4, rtol=1e-4)


def test_mixing_is_learned(seed: int = 0) -> None:
    generator = tiny_generator(seed, schedule__path="bridge", branch__warped=1, branch__mix_views=True)
    window = tiny_window(warped=1)
    window.warped.trust[0] = 1.0
    with torch.no_grad():
        conditions = latent_conditions(generator, [window])
        truth = split_warped(conditions.warped, 1)[0][:, 0]
    mixer = generator.branch.mixer.requires_grad_(True)
    optimiser = torch.optim.Adam(mixer.parameters(), lr=0.1)
    for step in range(40):
        random = make_generator(step, "noise")
        time = torch.rand(1, generator=random)
        noise = torch.randn(truth.shape, generator=random)
        state = path_state("bridge", truth, conditions.render_latent, noise, time, conditions.phi)
        error = (generator.velocity(state.x_t, time, conditions) - state.target).square()
        loss = error[state.counts.expand_as(error)].mean()
        first = float(loss.detach()) if step == 0 else first
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.3 * first
