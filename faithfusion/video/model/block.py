"""One transformer block of Wan2.1 on any subset of a clip's tokens, with a noise level per token.

The modules are those of diffusers' block, the parameter names too. The forward pass is ours: modulation is kept for
a few time levels and gathered per token (one value per token and channel would take gigabytes), and self-attention
goes through `BlockInputs.attend`, so that keys and values of unchanging tokens can be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.transformers.transformer_wan import WanAttention, WanTransformerBlock
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from faithfusion.video.model.attention import Attend, attention


@dataclass(frozen=True)
class BlockInputs:
    """The inputs of every block beside its tokens, shared by backbone and branch.

    `chosen` are the places of these tokens in the clip's grid, None for all. Times are n levels; `time_index` says
    which one a token has, None if there is only one level.
    """

    prompt: Float[Tensor, "b p d"]
    time_embedding: Float[Tensor, "b n d"]
    time_modulation: Float[Tensor, "b n 6 d"]
    time_index: Int[Tensor, "b l"] | None
    rotary: tuple[Float[Tensor, "1 l 1 e"], Float[Tensor, "1 l 1 e"]]
    attend: Attend
    chosen: Int[Tensor, " l"] | None = None

    def choose(self, tokens: Float[Tensor, "b whole d"]) -> Float[Tensor, "b l d"]:
        """Picks those of a clip's tokens that these inputs are for."""
        return tokens if self.chosen is None else tokens[:, self.chosen]

    def per_token(self, levels: Float[Tensor, "b n d"]) -> Float[Tensor, "b l_or_1 d"]:
        """A value per time level to one per token."""
        if self.time_index is None:
            return levels
        return levels.gather(1, self.time_index[..., None].expand(-1, -1, levels.shape[-1]))


class WanBlock(nn.Module):
    """Takes over the modules of a diffusers block; `layer` is its name in `BlockInputs.attend`."""

    def __init__(self, source: WanTransformerBlock | WanBlock, layer: str) -> None:
        super().__init__()
        self.layer = layer
        self.norm1, self.attn1 = source.norm1, source.attn1
        self.norm2, self.attn2 = source.norm2, source.attn2
        self.norm3, self.ffn = source.norm3, source.ffn
        self.scale_shift_table = source.scale_shift_table

    def forward(self, tokens: Float[Tensor, "b l d"], inputs: BlockInputs) -> Float[Tensor, "b l d"]:
        """Equals diffusers' `WanTransformerBlock.forward` for full attention (norms and gates in float32)."""
        levels = self.scale_shift_table[:, None] + inputs.time_modulation.float()
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = levels.unbind(2)
        normed = self._modulated(self.norm1, tokens, inputs.per_token(scale), inputs.per_token(shift))
        tokens = (tokens.float() + self._self_attention(normed, inputs) * inputs.per_token(gate)).type_as(tokens)
        tokens = tokens + self._cross_attention(self.norm2(tokens.float()).type_as(tokens), inputs.prompt)
        normed = self._modulated(self.norm3, tokens, inputs.per_token(ffn_scale), inputs.per_token(ffn_shift))
        return (tokens.float() + self.ffn(normed).float() * inputs.per_token(ffn_gate)).type_as(tokens)

    @staticmethod
    def _modulated(norm: nn.Module, tokens: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return (norm(tokens.float()) * (1.0 + scale) + shift).type_as(tokens)

    def _self_attention(self, tokens: Float[Tensor, "b l d"], inputs: BlockInputs) -> Float[Tensor, "b l d"]:
        query, keys, values = _projected(self.attn1, tokens, tokens)
        result = inputs.attend(self.layer, _rotated(query, inputs.rotary), _rotated(keys, inputs.rotary), values)
        return _to_output(self.attn1, result)

    def _cross_attention(
        self, tokens: Float[Tensor, "b l d"], prompt: Float[Tensor, "b p d"]
    ) -> Float[Tensor, "b l d"]:
        return _to_output(self.attn2, attention(*_projected(self.attn2, tokens, prompt.type_as(tokens))))


def run_block(function: Callable[..., Tensor], *given: Any, recompute: bool) -> Tensor:
    """`function(*given)`; with `recompute` its activations are not kept for the backward pass (gradient
    checkpointing)."""
    if recompute and torch.is_grad_enabled():
        return checkpoint(function, *given, use_reentrant=False)
    return function(*given)


def _projected(module: WanAttention, tokens: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    query, keys = module.norm_q(module.to_q(tokens)), module.norm_k(module.to_k(source))
    return tuple(value.unflatten(2, (module.heads, -1)) for value in (query, keys, module.to_v(source)))


def _to_output(module: WanAttention, heads: Float[Tensor, "b l h e"]) -> Float[Tensor, "b l d"]:
    return module.to_out[1](module.to_out[0](heads.flatten(2)))


def _rotated(heads: Float[Tensor, "b l h e"], rotary: tuple[Tensor, Tensor]) -> Float[Tensor, "b l h e"]:
    """Rotary position embedding of neighbouring channel pairs (Su et al. 2021), tables in float32."""
    cos, sin = rotary[0][..., 0::2], rotary[1][..., 1::2]
    even, odd = heads.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2).type_as(heads)
