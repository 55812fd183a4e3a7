from __future__ import annotations

import math

import pytest
import torch
from diffusers import WanTransformer3DModel
from tiny_generator import TINY, wan_forward
from tiny_public_weights import upstream_sizes

from faithfusion.utils.progress import say
from faithfusion.video.model.wan import (
    TimeFeatures,
    TokenTimes,
    WanBackbone,
    block_inputs,
    build_backbone,
    patchify,
    unpatchify,
)

CHANNELS, TOKENS = 8, 18


def run(backbone: WanBackbone, latents: torch.Tensor, times: TokenTimes, prompt: torch.Tensor) -> torch.Tensor:
    inputs = block_inputs(backbone, latents, times, prompt)
    tokens = patchify(backbone.patch_embedding, latents)
    return unpatchify(wan_forward(backbone, tokens, inputs), inputs, latents, 2)


@pytest.mark.parametrize("per_token", [False, True])
def test_without_a_branch_it_is_the_upstream_forward_and_gradient(per_token: bool) -> None:
    source = WanTransformer3DModel(**upstream_sizes(CHANNELS)).eval()
    latents, prompt = torch.randn(2, CHANNELS, 3, 4, 6, requires_grad=True), torch.randn(2, 2, TINY.wan.text_dim)
    # diffusers rounds the features of larger times by more than 1e-5; those are compared with DiffSynth
    if per_token:
        levels, index = 0.3 * torch.rand(2, 5), torch.randint(0, 5, (2, TOKENS))
        times, time = TokenTimes(levels, index), levels.gather(1, index)
    else:
        time = 0.3 * torch.rand(2)
        times = TokenTimes(time[:, None])
    expected = source(latents, time * 1000.0, prompt).sample
    (expected_grad,) = torch.autograd.grad(expected.square().sum(), latents)
    found = run(WanBackbone(source), latents, times, prompt)
    (grad,) = torch.autograd.grad(found.square().sum(), latents)
    error, grad_error = (found - expected).abs().max(), (grad - expected_grad).abs().max()
    say(f"backbone against diffusers, per_token={per_token}: {error:.1e} forward, {grad_error:.1e} gradient")
    assert expected.abs().mean() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(grad, expected_grad, atol=1e-5, rtol=1e-4)


def test_time_features_are_exact_at_any_time() -> None:
    time = torch.tensor([0.0, 1.0, 250.0, 999.0, 1000.0])
    found = TimeFeatures(6)(time)
    for row, t in zip(found.tolist(), time.tolist(), strict=True):
        angles = [t * 10000.0 ** (-place / 3) for place in range(3)]
        assert row == pytest.approx([math.cos(a) for a in angles] + [math.sin(a) for a in angles], abs=1e-7)


def test_recomputed_activations_give_the_same_gradient() -> None:
    backbone, prompt = build_backbone(TINY.wan, CHANNELS), torch.randn(1, 2, TINY.wan.text_dim)
    latents, gradients = torch.randn(1, CHANNELS, 1, 4, 4), []
    for recompute in (False, True):
        backbone.checkpoint_blocks = recompute
        backbone.zero_grad()
        run(backbone, latents, TokenTimes(torch.rand(1, 1).fill_(0.4)), prompt).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in backbone.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@torch.no_grad()
def test_chosen_tokens_attend_among_themselves_at_their_own_places() -> None:
    backbone = build_backbone(TINY.wan, CHANNELS).eval()
    latents, prompt = torch.randn(1, CHANNELS, 3, 4, 6), torch.randn(1, 2, TINY.wan.text_dim)
    chosen = torch.tensor([6, 7, 8, 9, 10, 11])  # all tokens of the second latent frame
    times = TokenTimes(torch.tensor([[0.5]]))
    inputs = block_inputs(backbone, latents, times, prompt, chosen=chosen)
    tokens = patchify(backbone.patch_embedding, latents, chosen)
    torch.testing.assert_close(tokens, inputs.choose(patchify(backbone.patch_embedding, latents)))
    found = unpatchify(wan_forward(backbone, tokens, inputs), inputs, latents, 2)
    assert (found[:, :, [0, 2]] == 0).all()
    # rotary positions are relative: the same frame alone, moved to the first place, gives the same
    alone = run(backbone, latents[:, :, 1:2], times, prompt)
    torch.testing.assert_close(found[:, :, 1:2], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("assignment", [(0, 0, 0), (0, 0, 1), (0, 1, 2), (0, -1, 1)])
@torch.no_grad()
def test_every_block_gets_its_branch_sample(assignment: tuple[int, ...]) -> None:
    backbone = build_backbone(TINY.wan, CHANNELS).eval()
    latents, prompt = torch.randn(1, CHANNELS, 1, 4, 4), torch.randn(1, 2, TINY.wan.text_dim)
    inputs = block_inputs(backbone, latents, TokenTimes(torch.tensor([[0.5]])), prompt)
    tokens = patchify(backbone.patch_embedding, latents)
    samples = [torch.randn(1, 4, TINY.wan.dim) for _ in range(max(assignment) + 1)]
    found = wan_forward(backbone, tokens, inputs, samples, assignment)
    handles = [
        block.register_forward_hook(lambda _, __, output, sample=samples[index]: output + sample)
        for block, index in zip(backbone.blocks, assignment, strict=True)
        if index >= 0
    ]
    expected = wan_forward(backbone, tokens, inputs)
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(found, expected)
