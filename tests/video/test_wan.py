from __future__ import annotations

import pytest
import torch
from tiny_generator import TINY

from faithfusion.video.wan import block_inputs, build_backbone, wan_forward

CHANNELS = 8


@pytest.mark.parametrize("per_token", [False, True])
@torch.no_grad()
def test_without_a_branch_it_is_the_upstream_forward(per_token: bool) -> None:
    backbone = build_backbone(TINY.wan, CHANNELS).eval()
    latents, prompt = torch.randn(2, CHANNELS, 3, 4, 6), torch.randn(2, 2, TINY.wan.text_dim)
    time = torch.rand(2, 3 * 2 * 3) if per_token else torch.rand(2)
    expected = backbone(latents, time * 1000.0, prompt).sample
    found = wan_forward(backbone, latents, block_inputs(backbone, latents, time, prompt))
    assert expected.abs().mean() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_per_token_time_equal_everywhere_is_scalar_time() -> None:
    backbone = build_backbone(TINY.wan, CHANNELS).eval()
    latents, prompt, time = torch.randn(2, CHANNELS, 1, 4, 4), torch.randn(2, 2, TINY.wan.text_dim), torch.rand(2)
    scalar = wan_forward(backbone, latents, block_inputs(backbone, latents, time, prompt))
    tokens = wan_forward(backbone, latents, block_inputs(backbone, latents, time[:, None].expand(-1, 4), prompt))
    torch.testing.assert_close(tokens, scalar, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("num_samples", "assignment"), [(1, [0, 0, 0]), (2, [0, 0, 1]), (3, [0, 1, 2])])
@torch.no_grad()
def test_every_block_gets_its_branch_sample(num_samples: int, assignment: list[int]) -> None:
    backbone = build_backbone(TINY.wan, CHANNELS).eval()
    latents, prompt = torch.randn(1, CHANNELS, 1, 4, 4), torch.randn(1, 2, TINY.wan.text_dim)
    inputs = block_inputs(backbone, latents, torch.tensor([0.5]), prompt)
    samples = [torch.randn(1, 4, TINY.wan.dim) for _ in range(num_samples)]
    found = wan_forward(backbone, latents, inputs, samples)
    handles = [
        block.register_forward_hook(lambda _, __, output, sample=samples[index]: output + sample)
        for block, index in zip(backbone.blocks, assignment, strict=True)
    ]
    expected = wan_forward(backbone, latents, inputs)
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(found, expected)
