"""Chooses the windows to train on and those of a micro-batch, and makes the batches that the methods get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from faithfusion.clips.store import ShardFolder, WindowShard
from faithfusion.training.run_config import DataConfig
from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator
from faithfusion.video.model.conditioning import LatentConditions, conditions_from_tensors
from faithfusion.video.model.fixers.fixer import FixerInputs

NOT_CUT = ("references.latent", "references.rays")
"""Tensors of a window that stay whole where the window is cut."""


@dataclass(frozen=True)
class WindowRef:
    """A window on disk."""

    shard: WindowShard
    index: int

    def read(self) -> Window:
        """The whole window."""
        return self.shard[self.index]

    def read_pair(self) -> Window:
        """The window with its true clip. Raises InputError without one, or for one of another size than the render."""
        window = self.read()
        if window.truth is None:
            raise InputError(self.shard.path, f"window {self.index} has no true clip", "training pairs with `truth`")
        if window.truth.shape != window.render.shape:
            found = f"window {self.index}: true clip of {list(window.truth.shape)}"
            raise InputError(self.shard.path, found, f"{list(window.render.shape)} as the render")
        return window


def training_windows(config: DataConfig) -> list[WindowRef]:
    """All windows of the shards to train on.

    Raises InputError for a missing or damaged shard and when the held-out shards leave none.
    """
    shards = ShardFolder(Path(config.train)).shards
    kept = shards if config.validation else shards[: len(shards) - config.held_out_shards]
    if not kept:
        expected = f"more shards than data.held_out_shards = {config.held_out_shards}"
        raise InputError(config.train, f"{len(shards)} shards", expected)
    return _windows(kept)


def validation_windows(config: DataConfig) -> list[WindowRef]:
    """All windows kept for validation; none if neither `validation` nor `held_out_shards` is given."""
    if config.validation:
        return _windows(ShardFolder(Path(config.validation)).shards)
    shards = ShardFolder(Path(config.train)).shards
    return _windows(shards[len(shards) - config.held_out_shards :])


def _windows(shards: Sequence[WindowShard]) -> list[WindowRef]:
    return [WindowRef(shard, index) for shard in shards for index in range(len(shard))]


@dataclass(frozen=True)
class Pick:
    """One sample of a micro-batch: which window, mirrored or not."""

    item: int
    flip: bool


class Sampler:
    """Shuffled epochs without state: sample `n` of the run is a function of (seed, n), so the step is the cursor."""

    def __init__(self, num_items: int, micro_batch: int, *, seed: int, flip: bool) -> None:
        self._num_items, self._micro_batch, self._seed, self._flip = num_items, micro_batch, seed, flip
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def _shuffled(self, epoch: int) -> list[int]:
        return torch.randperm(self._num_items, generator=make_generator(self._seed, "order", epoch)).tolist()

    def picks(self, micro_step: int, rank: int, world_size: int) -> list[Pick]:
        """The samples of process `rank` in micro-batch `micro_step`; processes share an epoch without overlap."""
        first = (micro_step * world_size + rank) * self._micro_batch
        return [self._pick(number) for number in range(first, first + self._micro_batch)]

    def _pick(self, number: int) -> Pick:
        epoch, position = divmod(number, self._num_items)
        chance = torch.rand((), generator=make_generator(self._seed, "flip", number))
        return Pick(self._order(epoch)[position], self._flip and bool(chance < 0.5))


@dataclass(frozen=True)
class ClipBatch:
    """Crops of clips for the codec, in [-1, 1]."""

    video: Float[Tensor, "b 3 t h w"]


class ClipDataset:
    """Random crops, in space and time, of true and rendered clips (half and half), read straight from the shards."""

    def __init__(self, windows: Sequence[WindowRef], *, num_frames: int, height: int, width: int) -> None:
        self._windows, self._size = list(windows), (num_frames, height, width)

    def __len__(self) -> int:
        return len(self._windows)

    def batch(self, picks: Sequence[Pick], generator: torch.Generator) -> ClipBatch:
        """Cuts one crop per pick; where and which of truth or render is drawn from `generator`."""
        return ClipBatch(torch.stack([self._crop(pick, generator) for pick in picks]))

    def _crop(self, pick: Pick, generator: torch.Generator) -> Float[Tensor, "3 t h w"]:
        window = self._windows[pick.item]
        rendered = torch.rand((), generator=generator) < 0.5 or not window.shard.has_truth(window.index)
        full = window.shard.size(window.index)
        part = [min(n, m) for n, m in zip(full, self._size, strict=True)]
        start = [int(torch.rand((), generator=generator) * (n - m + 1)) for n, m in zip(full, part, strict=True)]
        t, y, x = (slice(s, s + m) for s, m in zip(start, part, strict=True))
        crop = window.shard.colors(window.index, "render" if rendered else "truth", (t, y, x))
        video = rearrange(crop, "t h w c -> c t h w").float() / 127.5 - 1.0
        return video.flip(-1) if pick.flip else video


@dataclass(frozen=True)
class LatentBatch:
    """Windows in the codec's latent space: the truth, and what the generator is told, with phi from the window's own
    calibrated EIG."""

    truth_latent: Float[Tensor, "b c t h w"]
    conditions: LatentConditions


@dataclass(frozen=True)
class FixerBatch:
    """Crops of single frames and what they should look like, colours in [0, 1]."""

    inputs: FixerInputs
    truth: Float[Tensor, "b 3 h w"]


class LatentDataset:
    """Cached latents of whole windows, mirrored ones cached too because the codec is not exactly mirror symmetric."""

    def __init__(self, files: Sequence[Path], *, crop_tokens: tuple[int, int], whole_share: float) -> None:
        self._files, self._crop_tokens, self._whole_share = list(files), crop_tokens, whole_share

    def __len__(self) -> int:
        return len(self._files)

    def batch(self, picks: Sequence[Pick], generator: torch.Generator) -> LatentBatch:
        """The windows of `picks`, whole or cut; which, and where, is drawn from `generator`.

        Raises InputError for windows of different sizes in one micro-batch.
        """
        rows = [self._read(pick) for pick in picks]
        if torch.rand((), generator=generator) >= self._whole_share:
            rows = [cropped_latents(row, self._crop_tokens, generator) for row in rows]
        sizes = {tuple(row["truth_latent"].shape) for row in rows}
        if len(sizes) > 1:
            raise InputError("data.train", f"latents of sizes {sorted(sizes)}", "one size, or data.micro_batch = 1")
        tensors = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        return LatentBatch(tensors.pop("truth_latent"), conditions_from_tensors(tensors))

    def _read(self, pick: Pick) -> dict[str, Tensor]:
        side = "mirrored." if pick.flip else "plain."
        with safe_open(self._files[pick.item], framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(side)]  # noqa: SIM118
            return {name.removeprefix(side): file.get_tensor(name).float() for name in names}


def cropped_latents(
    row: dict[str, Tensor], crop_tokens: tuple[int, int], generator: torch.Generator
) -> dict[str, Tensor]:
    """A random part of one window, cut between tokens in all its tensors alike; a size of 0 is the whole side.
    References stay whole."""
    regions, tokens = [], row["phi"].shape[-1]
    for full, wanted in zip(row["phi"].shape[-2:], crop_tokens, strict=True):
        size = min(wanted, full) or full
        start = int(torch.rand((), generator=generator) * (full - size + 1))
        regions.append((start, start + size))
    return {
        name: value if name in NOT_CUT else _cut(value, regions, value.shape[-1] // tokens)
        for name, value in row.items()
    }


def _cut(value: Tensor, regions: Sequence[tuple[int, int]], cells: int) -> Tensor:
    (top, bottom), (left, right) = ((start * cells, stop * cells) for start, stop in regions)
    return value[..., top:bottom, left:right]
