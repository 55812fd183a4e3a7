"""Attention of token sequences: one function for the kernel, and who attends to whom.

Tokens with phi = 0 are context: what they hold never changes while a clip is sampled. Under the prefix pattern they
do not attend to the others, so their keys and values can be computed once and kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from typing import Protocol, runtime_checkable

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from jaxtyping import Bool, Float, Int
from torch import Tensor

from faithfusion.utils.progress import say

KeysValues = tuple[Float[Tensor, "b m heads head_dim"], Float[Tensor, "b m heads head_dim"]]


HALVES = (torch.float16, torch.bfloat16)


@lru_cache
def attention_backend(device_type: str, dtype: torch.dtype) -> str:
    """diffusers' name of the kernel used on "cuda" or "cpu"; said once. flash-attn has none for float32."""
    kernels = (("flash", "flash_attn", HALVES), ("xformers", "xformers", (*HALVES, torch.float32)))
    fitting = [name for name, module, dtypes in kernels if find_spec(module) and dtype in dtypes]
    name = fitting[0] if fitting and device_type == "cuda" else "native"
    if device_type == "cuda":
        say(f"attention on CUDA in {str(dtype).removeprefix('torch.')}: {name}")
    return name


def attention(
    query: Float[Tensor, "b l heads d"], keys: Float[Tensor, "b m heads d"], values: Float[Tensor, "b m heads d"]
) -> Float[Tensor, "b l heads d"]:
    """Softmax attention without a mask, scaled by 1 / sqrt(d), in the precision of `values`."""
    backend = attention_backend(query.device.type, values.dtype)
    return dispatch_attention_fn(query.to(values.dtype), keys.to(values.dtype), values, backend=backend)


@runtime_checkable
class Attend(Protocol):
    """Self-attention of the layer named `layer` under some pattern."""

    def __call__(
        self,
        layer: str,
        query: Float[Tensor, "b l heads d"],
        keys: Float[Tensor, "b l heads d"],
        values: Float[Tensor, "b l heads d"],
    ) -> Float[Tensor, "b l heads d"]: ...


class FullAttention:
    """Every token attends to every token, as in Wan."""

    def __call__(self, layer: str, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Attend`."""
        del layer
        return attention(query, keys, values)


class PrefixAttention:
    """Context tokens attend to context tokens, the others to all: the dense form of the pattern."""

    def __init__(self, is_context: Bool[Tensor, "b l"]) -> None:
        self._rows = [(row.nonzero()[:, 0], (~row).nonzero()[:, 0]) for row in is_context]

    def __call__(self, layer: str, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Attend`."""
        del layer
        return torch.cat(
            [self._row(query[i : i + 1], keys[i : i + 1], values[i : i + 1], i) for i in range(len(query))]
        )

    def _row(self, query: Tensor, keys: Tensor, values: Tensor, row: int) -> Tensor:
        context, active = self._rows[row]
        result = torch.empty_like(values)
        if len(context):
            result = result.index_copy(1, context, attention(query[:, context], keys[:, context], values[:, context]))
        return result.index_copy(1, active, attention(query[:, active], keys, values)) if len(active) else result


@dataclass
class ContextMemory:
    """Keys and values of the context tokens of one clip in every layer, with room for those of the tokens at the places
    `active`, which are left to compute."""

    active: Int[Tensor, " n"]
    stored: dict[str, KeysValues] = field(default_factory=dict)

    def num_bytes(self) -> int:
        """Bytes of the stored tensors."""
        tensors: Iterable[Tensor] = (tensor for pair in self.stored.values() for tensor in pair)
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class RecordContext:
    """Full attention among context tokens only, whose keys and values go into `memory`."""

    def __init__(self, memory: ContextMemory) -> None:
        self._memory = memory

    def __call__(self, layer: str, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Attend`."""
        self._memory.stored[layer] = (self._with_room(keys.to(values.dtype)), self._with_room(values))
        return attention(query, keys, values)

    def _with_room(self, heads: Float[Tensor, "1 m heads d"]) -> Float[Tensor, "1 whole heads d"]:
        room = heads.new_empty(1, len(self._memory.active), *heads.shape[2:])
        return torch.cat([heads, room], dim=1)


class UseContext:
    """Active tokens attend to the context in `memory` and to each other."""

    def __init__(self, memory: ContextMemory) -> None:
        self._memory = memory

    def __call__(self, layer: str, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Attend`."""
        all_keys, all_values = self._memory.stored[layer]
        first = all_keys.shape[1] - keys.shape[1]
        all_keys[:, first:], all_values[:, first:] = keys, values
        return attention(query, all_keys, all_values)
