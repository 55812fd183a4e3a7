"""Shards of windows on disk: one safetensors file per shard, single windows read without loading the file.

Colours are uint8, EIG, expected error, alpha and depth float16. The header names the format version, the number of
windows and where they came from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from faithfusion.types import EigVolume, Window
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError

FORMAT = "faithfusion.windows"
VERSION = 1
FLOAT16_MAX = 65504.0
REQUIRED = ("render", "eig_nats", "expected_sq_error", "alpha", "depth", "references", "known")


@dataclass(frozen=True)
class WindowShard:
    """A readable shard; `shard[i]` reads one window. `provenance` says what it was made from."""

    path: Path
    num_windows: int
    provenance: dict[str, Any]

    def __len__(self) -> int:
        return self.num_windows

    def __getitem__(self, index: int) -> Window:
        if not 0 <= index < self.num_windows:
            raise IndexError(index)
        try:
            with safe_open(self.path, framework="pt") as file:
                names = {key.split("/")[1] for key in file.keys() if key.startswith(f"{index}/")}  # noqa: SIM118
                return _unpack({name: file.get_tensor(f"{index}/{name}") for name in names})
        except (OSError, SafetensorError, KeyError) as error:
            raise InputError(self.path, f"window {index} cannot be read ({error})", "an intact shard") from None

    def has_truth(self, index: int) -> bool:
        """Whether the true clip of a window is stored."""
        with safe_open(self.path, framework="pt") as file:
            return f"{index}/truth" in file.keys()  # noqa: SIM118

    def size(self, index: int) -> tuple[int, int, int]:
        """Frames, height and width of a window, without reading it."""
        with safe_open(self.path, framework="pt") as file:
            frames, height, width, _ = file.get_slice(f"{index}/render").get_shape()
        return frames, height, width

    def colors(
        self, index: int, name: Literal["render", "truth"], region: tuple[slice, slice, slice]
    ) -> UInt8[Tensor, "t h w 3"]:
        """The 8-bit colours in `region` (frames, rows, columns), read without the rest of the window."""
        with safe_open(self.path, framework="pt") as file:
            return file.get_slice(f"{index}/{name}")[(*region, slice(None))]


class ShardFolder:
    """All shards of a folder, in name order, as one indexed collection of windows."""

    def __init__(self, folder: Path) -> None:
        # a name that starts with a dot is a shard that is being written
        paths = sorted(path for path in folder.glob("*.safetensors") if not path.name.startswith("."))
        if not paths:
            raise InputError(folder, "no shards" if folder.is_dir() else "no such folder", "*.safetensors shards")
        self.shards = [read_shard(path) for path in paths]
        self._locations = [(shard, i) for shard in self.shards for i in range(len(shard))]

    def __len__(self) -> int:
        return len(self._locations)

    def __getitem__(self, index: int) -> Window:
        shard, position = self._locations[index]
        return shard[position]


def write_shard(path: Path, windows: Sequence[Window], provenance: dict[str, Any] | None = None) -> None:
    """Writes windows whole or not at all."""
    tensors = {f"{i}/{name}": value for i, window in enumerate(windows) for name, value in _pack(window).items()}
    header = {
        "format": FORMAT,
        "version": str(VERSION),
        "num_windows": str(len(windows)),
        "provenance": json.dumps(provenance or {}),
    }
    with atomic_file(path) as temporary:
        save_file(tensors, temporary, metadata=header)


def read_shard(path: Path) -> WindowShard:
    """Opens a shard and checks its header.  Raises InputError if it is missing, damaged or something else."""
    if not path.is_file():
        raise InputError(path, "no such file", "a shard of windows")
    try:
        with safe_open(path, framework="pt") as file:
            header, names = file.metadata() or {}, set(file.keys())
        format_found = (header.get("format"), header.get("version"))
        count, provenance = int(header.get("num_windows", 0)), json.loads(header.get("provenance", "{}"))
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(path, f"cannot be read ({error})", "an intact shard of windows") from None
    if format_found != (FORMAT, str(VERSION)):
        raise InputError(path, "format {}, version {}".format(*format_found), f"{FORMAT}, version {VERSION}")
    missing = sorted({f"{i}/{name}" for i in range(count) for name in REQUIRED} - names)
    if missing:
        raise InputError(path, f"lacks {', '.join(missing[:3])}", f"all tensors of {count} windows")
    return WindowShard(path, count, provenance)


def _pack(window: Window) -> dict[str, Tensor]:
    packed = {
        "render": _bytes(window.render),
        "references": _bytes(window.references),
        "eig_nats": _half(window.eig.eig_nats),
        "expected_sq_error": _half(window.eig.expected_sq_error),
        "alpha": _half(window.eig.alpha),
        "depth": _half(window.depth),
        "known": window.known.contiguous(),
    }
    return packed if window.truth is None else {**packed, "truth": _bytes(window.truth)}


def _unpack(packed: dict[str, Tensor]) -> Window:
    eig = EigVolume(packed["eig_nats"].float(), packed["expected_sq_error"].float(), packed["alpha"].float())
    truth = packed["truth"].float() / 255.0 if "truth" in packed else None
    return Window(
        render=packed["render"].float() / 255.0,
        eig=eig,
        depth=packed["depth"].float(),
        references=packed["references"].float() / 255.0,
        known=packed["known"],
        truth=truth,
    )


def _bytes(colors: Tensor) -> Tensor:
    return (colors.detach().cpu().clamp(0, 1) * 255.0 + 0.5).to(torch.uint8).contiguous()


def _half(values: Tensor) -> Tensor:
    return values.detach().cpu().clamp(-FLOAT16_MAX, FLOAT16_MAX).half().contiguous()
