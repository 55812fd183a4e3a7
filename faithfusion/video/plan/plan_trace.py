"""Finds out what a computation costs by running its real modules on tensors that have shapes but no data.

Every operation passes through one dispatch mode, which adds up floating point operations (torch's own formulas, two per
multiplication and addition) and follows which storages are alive. The same mode follows real tensors too, so the
prediction can be tested. Not seen are workspaces inside a kernel and what an allocator loses to fragmentation.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop, sdpa_flop

ATTENTION = "attention"
LINEAR = "linear"
CONVOLUTION = "convolution"


@dataclass(frozen=True)
class Trace:
    """Cost of one run. Bytes are beyond what was alive before: `peak` at the worst moment, `kept` at the end."""

    flops: dict[str, int]  # by kind
    peak_bytes: int
    kept_bytes: int

    @property
    def total_flops(self) -> int:
        """Floating point operations of all kinds."""
        return sum(self.flops.values())


class Tracer(TorchDispatchMode):
    """Counts operations and live bytes between entering and leaving; tensors on the meta device take no memory.

    `known`: tensors that were alive before (weights, inputs). They are not counted.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self._flops: Counter[str] = Counter()
        self._alive: dict[int, weakref.ref] = {}
        self._formulas = {**flop_registry, **_cpu_attention()}
        self._now = self._peak = self._base = 0
        for tensor in known:
            self._follow(tensor)
        self.restart()

    def restart(self) -> None:
        """Counts from here: what is alive now no longer counts as ours."""
        self._flops.clear()
        self._base = self._peak = self._now

    def read(self) -> Trace:
        """The cost since the start or the last `restart`."""
        return Trace(dict(self._flops), self._peak - self._base, self._now - self._base)

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = operation(*args, **kwargs)
        formula = self._formulas.get(operation._overloadpacket)
        if formula is not None:
            self._flops[_kind(operation._overloadpacket)] += formula(*args, **kwargs, out_val=result)
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self._follow(value)
        return result

    def _follow(self, tensor: Tensor) -> None:
        if tensor.device.type == "meta":
            return
        storage = tensor.untyped_storage()
        key, size = id(storage), storage.nbytes()
        if key in self._alive:
            return
        self._alive[key] = weakref.ref(storage, lambda _: self._forget(key, size))
        self._now += size
        self._peak = max(self._peak, self._now)

    def _forget(self, key: int, size: int) -> None:
        self._alive.pop(key, None)
        self._now -= size


def _cpu_attention() -> dict[Any, Callable[..., int]]:
    """torch counts the attention kernels of CUDA only; those of the CPU do the same work, and hold no score matrix
    either."""
    aten = torch.ops.aten
    return {
        aten._scaled_dot_product_flash_attention_for_cpu: sdpa_flop,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: sdpa_backward_flop,
    }


def _kind(packet: Any) -> str:
    name = str(packet)
    if "attention" in name:
        return ATTENTION
    return CONVOLUTION if "conv" in name else LINEAR
