from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

import faithfusion.video.model.attention as attention_module
from faithfusion.video.model.attention import (
    ContextMemory,
    FullAttention,
    PrefixAttention,
    RecordContext,
    UseContext,
    attention,
)

SHAPE = (2, 7, 3, 8)


def heads() -> list[torch.Tensor]:
    return [torch.randn(SHAPE, requires_grad=True) for _ in range(3)]


def masked(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Textbook attention; `allowed` [b, l, m]."""
    scores = torch.einsum("blhd,bmhd->bhlm", query, keys) / query.shape[-1] ** 0.5
    weights = scores.masked_fill(~allowed[:, None], -torch.inf).softmax(-1)
    return torch.einsum("bhlm,bmhd->blhd", weights, values)


def test_attention_is_the_textbook_formula() -> None:
    query, keys, values = heads()
    expected = masked(query, keys, values, torch.ones(2, 7, 7, dtype=torch.bool))
    torch.testing.assert_close(attention(query, keys, values), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(FullAttention()("x", query, keys, values), expected, atol=1e-6, rtol=1e-5)
    native = scaled_dot_product_attention(*(value.transpose(1, 2) for value in (query, keys, values)))
    torch.testing.assert_close(attention(query, keys, values), native.transpose(1, 2))


def test_prefix_pattern_is_a_mask_forward_and_in_gradient() -> None:
    query, keys, values = heads()
    is_context = torch.tensor([[True, False, True, True, False, False, True], [False] * 7])
    allowed = ~is_context[:, :, None] | is_context[:, None, :]
    cotangent = torch.randn(SHAPE)
    expected = masked(query, keys, values, allowed)
    found = PrefixAttention(is_context)("x", query, keys, values)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    grads = [torch.autograd.grad(result, (query, keys, values), cotangent) for result in (found, expected)]
    for mine, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_recorded_context_and_active_tokens_together_are_the_prefix_pattern() -> None:
    query, keys, values = (value[:1].detach() for value in heads())
    is_context = torch.tensor([[True, False, True, True, False, False, True]])
    dense = PrefixAttention(is_context)("layer", query, keys, values)
    context, active = is_context[0].nonzero()[:, 0], (~is_context[0]).nonzero()[:, 0]
    memory = ContextMemory(active)
    of_context = RecordContext(memory)("layer", *(value[:, context] for value in (query, keys, values)))
    of_active = UseContext(memory)("layer", *(value[:, active] for value in (query, keys, values)))
    torch.testing.assert_close(of_context, dense[:, context])
    torch.testing.assert_close(of_active, dense[:, active])
    assert memory.num_bytes() == 2 * 7 * 3 * 8 * 4, "with room for the active ones"
    again = UseContext(memory)("layer", *(value[:, active] for value in (query, keys, values)))
    assert torch.equal(again, of_active)


@pytest.mark.parametrize(
    ("installed", "device", "dtype", "expected"),
    [
        ({"flash_attn", "xformers"}, "cuda", torch.bfloat16, "flash"),
        ({"flash_attn", "xformers"}, "cuda", torch.float32, "xformers"),
        ({"flash_attn"}, "cuda", torch.float32, "native"),
        ({"flash_attn"}, "cpu", torch.bfloat16, "native"),
        (set(), "cuda", torch.bfloat16, "native"),
    ],
)
def test_no_kernel_is_asked_for_a_precision_that_it_lacks(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], device: str, dtype: torch.dtype, expected: str
) -> None:
    monkeypatch.setattr(attention_module, "find_spec", lambda name: name if name in installed else None)
    assert attention_module.attention_backend.__wrapped__(device, dtype) == expected
