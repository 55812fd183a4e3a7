"""Sampling on small cards: tiles for the VAE, weights that wait in host memory, one part on the card at a time.

For sampling only: the backward pass of a layer needs the weight that offloading has already taken away.
docs/memory.md says what every choice saves.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from faithfusion.utils.errors import InputError
from faithfusion.video.model.codecs.base import NormalisedCodec
from faithfusion.video.model.codecs.tiles import Tiles
from faithfusion.video.model.memory_config import MemoryConfig

if TYPE_CHECKING:  # the model imports diffusers, which takes seconds
    from faithfusion.video.model.generator import Generator

HOOK = "group_offloading"  # diffusers' name of its hook
FLOAT32_PARTS = frozenset({"time_embedder", "scale_shift_table", "norm1", "norm2", "norm3", "norm_out", "gate"})


def apply_memory(generator: Generator, config: MemoryConfig, device: torch.device | str) -> None:
    """Casts the weights and puts them where they belong; to be called once, before sampling on `device`.

    Afterwards encode and decode under `at_work(generator.codec, ...)`, sample under that of backbone and branch. The
    prompt embeddings and the head are always on `device`.
    """
    device = torch.device(device)
    set_tiles(generator.codec, config)
    cast_weights(generator, config, device)
    if config.offload in ("blocks", "leaves"):
        offload_layers([generator.branch.blocks, generator.backbone.blocks], config, device)
    waiting = torch.device("cpu") if config.offload != "none" else device
    for part in (generator.codec, generator.backbone, generator.branch):
        move(part, waiting)
    generator.prompt.data = generator.prompt.data.to(device)
    if generator.head is not None:
        generator.head.to(device)
    if generator.negative_prompt is not None:
        generator.negative_prompt = generator.negative_prompt.to(device)


@contextmanager
def at_work(part: nn.Module, config: MemoryConfig, device: torch.device | str) -> Iterator[None]:
    """`part` is on `device` for the time of the block and in host memory after it; nothing moves without offload."""
    if config.offload == "none":
        yield
        return
    move(part, torch.device(device))
    try:
        yield
    finally:
        move(part, torch.device("cpu"))
        if torch.device(device).type == "cuda":
            torch.cuda.empty_cache()


def set_tiles(codec: NormalisedCodec, config: MemoryConfig) -> None:
    """Makes a codec encode and decode in the configured tiles. Raises InputError where `tiles_of` does."""
    codec.tiles = tiles_of(config, codec.stride)


def tiles_of(config: MemoryConfig, stride: int) -> Tiles | None:
    """The configured tiles, None for whole frames. Raises InputError for tiles that are no whole number of latent cells
    of `stride` pixels."""
    tile, overlap = config.vae_tile_pixels, config.vae_tile_overlap
    if not tile:
        return None
    if tile < 2 * stride or tile % stride:
        raise InputError("memory.vae_tile_pixels", tile, f"0 or a multiple of {stride} from {2 * stride} on")
    if not 0 <= overlap < tile or overlap % stride:
        raise InputError("memory.vae_tile_overlap", overlap, f"a multiple of {stride} below the tile's {tile}")
    return Tiles(tile, overlap)


def keeps_float32(name: str) -> bool:
    """Whether the parameter of this name stays in float32 beside bf16 ones, as in diffusers."""
    return not FLOAT32_PARTS.isdisjoint(name.split("."))


def cast_weights(generator: Generator, config: MemoryConfig, device: torch.device) -> None:
    """Backbone, branch and prompt to the configured precision except FLOAT32_PARTS, the codec to its own."""
    auto = torch.bfloat16 if device.type == "cuda" else torch.float32
    dtype = {"auto": auto, "bf16": torch.bfloat16, "fp32": torch.float32}[config.dtype]
    for part in (generator.backbone, generator.branch):
        for name, parameter in part.named_parameters():
            parameter.data = parameter.data.to(torch.float32 if keeps_float32(name) else dtype)
    generator.prompt.data = generator.prompt.data.to(dtype)
    generator.codec.to(torch.bfloat16 if config.codec_dtype == "bf16" else torch.float32)


def offload_layers(stacks: Sequence[nn.ModuleList], config: MemoryConfig, device: torch.device) -> None:
    """diffusers' group offloading, one group per block or per linear layer of the blocks, in the order of execution.

    Everything else of the blocks (norms, modulation) is left alone. With CUDA the weights are copied from pinned
    memory on a stream of their own, those of the next group while the present one computes.
    """
    from diffusers.hooks import apply_group_offloading

    blocks: list[nn.Module] = [block for stack in stacks for block in stack]
    groups = blocks if config.offload == "blocks" else [layer for block in blocks for layer in linear_layers(block)]
    holder = nn.Module()  # its own forward is never called, so it may hold nothing but the groups
    holder.groups = nn.ModuleList(groups)
    apply_group_offloading(
        holder,
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="block_level",
        num_blocks_per_group=1,
        use_stream=device.type == "cuda",
        offload_to_disk_path=_fresh_folder(config.offload_folder, stacks[0]) if config.offload_folder else None,
    )
    if device.type == "cuda":
        fetch_ahead(groups)


def _fresh_folder(parent: str, owner: nn.Module) -> str:
    """A new folder in `parent`, removed with `owner` or at the end of the program: diffusers would read files that an
    earlier run left there as if they were this one's weights."""
    Path(parent).mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="weights-", dir=parent)
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder


def fetch_ahead(groups: Sequence[nn.Module]) -> None:
    """Each group asks for the weights of the next one before it computes.

    diffusers finds this order by watching the forward pass of the module that holds the groups; there is none here.
    A group that is reached in another order still fetches its own weights.
    """
    hooks = [group._diffusers_hook.get_hook(HOOK) for group in groups]
    for hook, following in zip(hooks, hooks[1:], strict=False):
        hook.next_group = following.group
        following.group.onload_self = False


def linear_layers(block: nn.Module) -> list[nn.Linear]:
    """The linear layers of a block in the order in which it runs them."""
    return [module for module in block.modules() if isinstance(module, nn.Linear)]


def is_offloaded(module: nn.Module) -> bool:
    """Whether diffusers' hooks move the weights of this module."""
    registry = getattr(module, "_diffusers_hook", None)
    return registry is not None and registry.get_hook(HOOK) is not None


def own_modules(part: nn.Module) -> Iterator[nn.Module]:
    """`part` and the modules in it, except those whose weights offloading moves."""
    if is_offloaded(part):
        return
    yield part
    for child in part.children():
        yield from own_modules(child)


def move(part: nn.Module, device: torch.device) -> None:
    """Moves parameters and buffers of `part` to `device`, except where offloading moves them."""
    for module in own_modules(part):
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.data.to(device)
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = buffer.to(device)
