from __future__ import annotations

import pytest
import torch
from tiny_generator import tiny_generator, tiny_window, wan_forward

from faithfusion.utils.errors import InputError
from faithfusion.video.editing.encode import latent_conditions
from faithfusion.video.model.branch import MonotoneGate, injection_map
from faithfusion.video.model.config import BranchConfig
from faithfusion.video.model.wan import TokenTimes, block_inputs, patchify, unpatchify


@pytest.mark.parametrize("extras", [{}, {"branch__references": True, "branch__depth": True, "branch__warped": 2}])
@torch.no_grad()
def test_at_step_0_the_generator_is_exactly_the_backbone(extras: dict[str, bool]) -> None:
    generator = tiny_generator(prior="none", **extras)
    generator.backbone.proj_out.weight.normal_()
    conditions = latent_conditions(generator, [tiny_window(poses=True, warped=2)])
    x_t, time = torch.randn_like(conditions.render_latent), torch.tensor([0.6])
    inputs = block_inputs(generator.backbone, x_t, TokenTimes(time[:, None]), generator.prompt[None])
    tokens = patchify(generator.backbone.patch_embedding, x_t)
    expected = unpatchify(wan_forward(generator.backbone, tokens, inputs), inputs, x_t, 2)
    assert expected.abs().mean() > 0.1
    assert torch.equal(generator.velocity(x_t, time, conditions), expected)


@torch.no_grad()
def test_at_step_0_with_the_render_prior_a_certain_render_is_kept() -> None:
    generator = tiny_generator()
    conditions = latent_conditions(generator, [tiny_window()])
    conditions.phi.zero_()
    x_t, time = torch.randn_like(conditions.render_latent), torch.tensor([0.6])
    x0 = x_t - 0.6 * generator.velocity(x_t, time, conditions)
    torch.testing.assert_close(x0, conditions.render_latent, atol=1e-5, rtol=1e-5)


def test_branch_blocks_are_clones_and_the_zero_projections_learn_first() -> None:
    generator = tiny_generator(prior="none")
    torch.nn.init.normal_(generator.backbone.proj_out.weight)
    for clone, source in zip(generator.branch.blocks, generator.backbone.blocks, strict=False):
        for mine, theirs in zip(clone.parameters(), source.parameters(), strict=True):
            assert torch.equal(mine, theirs) and mine.data_ptr() != theirs.data_ptr()
    conditions = latent_conditions(generator, [tiny_window()])
    x_t = torch.randn_like(conditions.render_latent)
    generator.velocity(x_t, torch.tensor([0.5]), conditions).square().mean().backward()
    assert all(projection.weight.grad.abs().max() > 0 for projection in generator.branch.projections)
    assert generator.branch.patch_embedding.weight.grad.abs().max() == 0


@torch.no_grad()
def test_a_trained_branch_hears_render_eig_phi_and_warped_views() -> None:
    generator = tiny_generator(prior="none", trained=True, branch__warped=2)
    torch.nn.init.normal_(generator.branch.patch_embedding.weight, std=0.1)
    generator.branch.gate.gain.fill_(0.5)
    conditions = latent_conditions(generator, [tiny_window(warped=2)])
    x_t, time = torch.randn_like(conditions.render_latent), torch.tensor([0.6])
    before = generator.velocity(x_t, time, conditions)
    for name in ("render_latent", "eig_block", "phi", "warped"):
        value = getattr(conditions, name)
        kept = value.clone()
        value.copy_(1.0 - value)
        assert (generator.velocity(x_t, time, conditions) - before).abs().max() > 1e-3, name
        value.copy_(kept)


@pytest.mark.parametrize("seed", range(5))
@torch.no_grad()
def test_the_gate_is_monotone_for_any_parameters_and_starts_at_1(seed: int) -> None:
    gate, phi = MonotoneGate(), torch.linspace(0, 1, 101)
    assert torch.equal(gate(phi), torch.ones(101))
    torch.manual_seed(seed)
    for parameter in gate.parameters():
        parameter.normal_(std=2.0)
    steps = gate(phi).diff() * gate.gain.sign()
    assert (steps >= -1e-6).all()


def test_injection_maps_of_the_public_models() -> None:
    assert injection_map(BranchConfig("dit", 2), 30) == (0,) * 15 + (1,) * 15
    vace = injection_map(BranchConfig("vace", 15), 30)
    assert [layer for layer, sample in enumerate(vace) if sample >= 0] == list(range(0, 30, 2))
    vace = injection_map(BranchConfig("vace", 8), 40)
    assert [layer for layer, sample in enumerate(vace) if sample >= 0] == list(range(0, 40, 5))
    with pytest.raises(InputError, match="at most the backbone's 3 layers"):
        injection_map(BranchConfig("dit", 4), 3)
