from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
import torch
from tiny_generator import TINY, tiny_generator, tiny_window

from faithfusion.utils.seed import make_generator
from faithfusion.video.encode import latent_conditions
from faithfusion.video.model import GeneratorConfig, build_generator
from faithfusion.video.paths import path_state


def test_the_same_stream_builds_the_same_weights_and_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (build_generator(TINY, make_generator(0, "init")) for _ in range(2))
    other = build_generator(TINY, make_generator(1, "init"))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.prompt, other.prompt)


@pytest.mark.parametrize("path", ["hold", "bridge", "per_token"])
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
    code = "import sys, faithfusion.video.editor; sys.exit('diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
