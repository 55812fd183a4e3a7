"""Running Warp kernels on torch tensors: zero copy, and on the CPU spread over threads without changing the result."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
import warp as wp
from torch import Tensor

NUM_BANDS = 16  # enough that threads whose bands are light take over from others


@functools.cache
def prepare_warp() -> None:
    """Starts Warp without its banner."""
    wp.config.log_level = wp.LOG_ERROR
    wp.init()


def as_warp(tensor: Tensor, dtype: type) -> wp.array:
    """The tensor's memory as a Warp array; made contiguous first, gradients are the caller's business."""
    prepare_warp()
    return wp.from_torch(tensor.detach().contiguous(), dtype=dtype, requires_grad=False)


def launch(kernel: wp.Kernel, num_blocks: int, inputs: Sequence[Any], device: torch.device) -> None:
    """Runs `kernel(first_block, *inputs)` for `num_blocks` blocks; block index = first_block + tid.

    Blocks must write to memory of their own (or, on CUDA, with atomics). On the CPU one Warp launch uses one core and
    releases Python's lock, so bands of blocks run in `torch.get_num_threads()` threads.
    """
    prepare_warp()
    if device.type == "cuda":
        stream = wp.stream_from_torch(torch.cuda.current_stream(device))
        wp.launch(kernel, dim=num_blocks, inputs=[0, *inputs], stream=stream)
        return
    wp.load_module(kernel.module, device="cpu")
    num_threads = torch.get_num_threads()
    num_bands = 1 if num_threads == 1 else NUM_BANDS
    edges = [band * num_blocks // num_bands for band in range(num_bands + 1)]
    bands = [(begin, end) for begin, end in zip(edges[:-1], edges[1:], strict=True) if end > begin]

    def run(band: tuple[int, int]) -> None:
        wp.launch(kernel, dim=band[1] - band[0], inputs=[band[0], *inputs], device="cpu")

    list(_threads(num_threads).map(run, bands) if num_threads > 1 else map(run, bands))


@functools.cache
def _threads(num: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num, thread_name_prefix="warp")
