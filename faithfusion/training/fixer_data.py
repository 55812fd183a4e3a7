"""Draws, crops and mirrors single frames for the fixer from windows that were decoded once.

A frame of a shard takes 40 ms per mp4 file to read, because decoding starts at a key frame; from decoded windows, kept
in a folder (12 + 4 n + 3 r bytes per pixel and frame with n views and r references), a crop takes 1 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from faithfusion.training.cache import cache_windows
from faithfusion.training.data import FixerBatch, Pick, WindowRef
from faithfusion.training.topology import Topology
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.chain import edited_window
from faithfusion.video.editing.editor import Editor
from faithfusion.video.fixer.fixer import FixerInputs, fixer_inputs

BYTES, HALVES = "bytes", "halves"
"""Tensors of a decoded window: [T, 6 + 4 n + 3 r, H, W] render, truth, n views, their trust and r references;
[T, 3, H, W] expected squared error, alpha and depth."""


@dataclass(frozen=True)
class Before:
    """The video model after which the fixer will work, and what tells its clips from those of other weights and
    settings."""

    editor: Editor
    identity: str


def decode_windows(
    windows: Sequence[WindowRef],
    folder: Path,
    num_views: int,
    topology: Topology,
    num_references: int = 0,
    before: Before | None = None,
) -> list[Path]:
    """Writes one file per window, every process decoding a share; those already there are kept. With `before`, that
    editor's clip stands for the render, with the error that is left in it.

    Raises InputError for a window without a true clip of the render's size.
    """
    place = folder / (f"frames_{num_views}_views" + (f"_{num_references}_references" if num_references else ""))
    if before is not None:
        place = place.with_name(f"clips_{place.name}_{before.identity[:12]}")
    editor = before and before.editor
    return cache_windows(windows, place, lambda ref: decode_window(ref, num_views, num_references, editor), topology)


def decode_window(
    ref: WindowRef, num_views: int, num_references: int = 0, editor: Editor | None = None
) -> dict[str, Tensor]:
    """One window's tensors; views that it lacks are black and without trust. What the shard holds comes back exactly.
    Raises InputError as `decode_windows`, and with fewer references than wanted."""
    window = ref.read_pair()
    if editor is not None:
        with torch.no_grad():
            window = edited_window(window, editor.edit(window))
    inputs = fixer_inputs(window, num_references)
    if inputs.references.shape[1] < num_references:
        found = f"window {ref.index}: {inputs.references.shape[1]} references"
        raise InputError(ref.shard.path, found, f"at least {num_references} (fixer.model.sd_turbo.num_references)")
    views, trust = inputs.views[:, :num_views], inputs.trust[:, :num_views]
    missing = num_views - views.shape[1]
    views = F.pad(rearrange(views, "t n c h w -> t (n c) h w"), (0, 0, 0, 0, 0, 3 * missing))
    trust = F.pad(trust, (0, 0, 0, 0, 0, missing))
    truth = rearrange(window.truth, "t h w c -> t c h w")
    references = rearrange(inputs.references, "t r c h w -> t (r c) h w")
    volumes = [inputs.expected_sq_error, inputs.alpha, inputs.depth_m]
    return {
        BYTES: (torch.cat([inputs.render, truth, views, trust, references], dim=1) * 255.0).round().to(torch.uint8),
        HALVES: torch.stack(volumes, dim=1).half(),
    }


class FixerDataset:
    """Random crops of random frames of decoded windows; references are cropped at the same place."""

    def __init__(
        self, files: Sequence[Path], *, height: int, width: int, num_views: int, num_references: int = 0
    ) -> None:
        self._files, self._size = list(files), (height, width)
        self._num_views, self._num_references = num_views, num_references

    def __len__(self) -> int:
        return len(self._files)

    def batch(self, picks: Sequence[Pick], generator: torch.Generator) -> FixerBatch:
        """Cuts one crop per pick; the frame, and where it is cut, are drawn from `generator`. Smaller images are whole.

        Raises InputError for images of different sizes in one micro-batch.
        """
        rows = [self._crop(pick, generator) for pick in picks]
        sizes = {tuple(colors.shape[-2:]) for colors, _ in rows}
        if len(sizes) > 1:
            raise InputError("data.train", f"images of sizes {sorted(sizes)}", "one size, or smaller crops")
        colors, volumes = (torch.stack(values).float() for values in zip(*rows, strict=True))
        sizes = [3, 3, 3 * self._num_views, self._num_views, 3 * self._num_references]
        render, truth, views, trust, references = (colors / 255.0).split(sizes, dim=1)
        views, references = (rearrange(images, "b (n c) h w -> b n c h w", c=3) for images in (views, references))
        return FixerBatch(FixerInputs(render, views, trust, *volumes.unbind(1), references), truth)

    def _crop(self, pick: Pick, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        with safe_open(self._files[pick.item], framework="pt") as file:
            parts = [file.get_slice(name) for name in (BYTES, HALVES)]
            frames, _, *full = parts[0].get_shape()
            wanted = [1, *(min(side, most) for side, most in zip(self._size, full, strict=True))]
            starts = [
                int(torch.rand((), generator=generator) * (n - m + 1))
                for n, m in zip([frames, *full], wanted, strict=True)
            ]
            t, y, x = (slice(start, start + size) for start, size in zip(starts, wanted, strict=True))
            crop = [part[t, :, y, x][0] for part in parts]
        return tuple(values.flip(-1) for values in crop) if pick.flip else tuple(crop)
