"""Shards of windows on disk: `NAME.safetensors` with mp4 files beside it; any window is read without the others.

Colours lie in mp4 files, `NAME_render_WxH.mp4`, `NAME_truth_WxH.mp4` and `NAME_warped0_WxH.mp4`, ..., sequence after
sequence; references and the trust in warped views (bytes), EIG, expected error, alpha, depth (float16), known frames,
poses (float32) and time stamps in the safetensors file, whose header (`shard_header`) holds them together. Shards of
versions before have no time stamps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from faithfusion.clips.clip_config import ColorFormat
from faithfusion.clips.manifest import check_manifests
from faithfusion.clips.shard_header import ColorName, ShardHeader, check_header, header_from_metadata
from faithfusion.clips.shard_writer import ShardColors
from faithfusion.clips.video_file import read_frames
from faithfusion.clips.window_tensors import EIG, TRUST, as_bytes, as_float16, window_from_tensors, window_tensors
from faithfusion.clips.windows import Span
from faithfusion.types import Window
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError

VOLUMES = (*EIG, "depth")
PER_FRAME = (*VOLUMES, "known")
STILLS = ("references", TRUST)
"""Parts of four axes that lie in the safetensors file, as bytes."""


@dataclass(frozen=True)
class Cut:
    """A window of a sequence: its frames, and which of the sequence's references it gets (None: all)."""

    span: Span
    references: tuple[int, ...] | None = None


@dataclass(frozen=True)
class CutSequence:
    """A `Window` of any length and the windows that are cut from it; frames that they share are stored once."""

    sequence: Window
    cuts: tuple[Cut, ...]


@dataclass(frozen=True)
class WindowShard:
    """A readable shard; `shard[i]` reads one window. `provenance` says what it was made from."""

    path: Path
    header: ShardHeader

    @property
    def num_windows(self) -> int:
        """The number of windows it holds."""
        return len(self.header.windows)

    @property
    def provenance(self) -> dict[str, Any]:
        """The facts from which the shard was made."""
        return self.header.provenance

    def __len__(self) -> int:
        return self.num_windows

    def __getitem__(self, index: int) -> Window:
        if not 0 <= index < self.num_windows:
            raise IndexError(index)
        entry = self.header.windows[index]
        prefix, frames = f"{entry.sequence}/", slice(entry.start, entry.stop)
        try:
            with safe_open(self.path, framework="pt") as file:
                names = [key.removeprefix(prefix) for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118
                packed = {
                    name: file.get_tensor(prefix + name)[list(entry.references)]
                    if name.startswith("reference")
                    else file.get_slice(prefix + name)[frames]
                    for name in names
                }
        except (OSError, SafetensorError) as error:
            raise InputError(self.path, f"window {index} cannot be read ({error})", "an intact shard") from None
        whole = (slice(None), slice(None), slice(None))
        places = self.header.sequences[entry.sequence].places
        colors = {name: self.colors(index, name, whole) for name in places}
        return window_from_tensors(packed | colors)

    def has_truth(self, index: int) -> bool:
        """Whether the true clip of a window is stored."""
        return self.header.sequences[self.header.windows[index].sequence].truth is not None

    def size(self, index: int) -> tuple[int, int, int]:
        """Frames, height and width of a window, without reading it."""
        entry = self.header.windows[index]
        sequence = self.header.sequences[entry.sequence]
        return entry.stop - entry.start, sequence.height, sequence.width

    def colors(self, index: int, name: ColorName, region: tuple[slice, slice, slice]) -> UInt8[Tensor, "t h w 3"]:
        """The 8-bit colours in `region` (frames, rows, columns), read without the rest of the window.

        Raises InputError if the mp4 file is missing, damaged or shorter than the shard says.
        """
        entry = self.header.windows[index]
        sequence = self.header.sequences[entry.sequence]
        place = sequence.place(name)
        if place is None:
            found = "true clip" if name == "truth" else f"clip {name}"
            raise InputError(self.path, f"window {index} has no {found}", "pairs of this version of make_pairs")
        frames = range(entry.start, entry.stop)[region[0]]
        path = self.path.with_name(self.header.videos[place.video].file)
        if frames.step != 1 or not frames:
            raise InputError(path, f"frames {region[0]}", "a run of consecutive frames")
        size = {"height": sequence.height, "width": sequence.width}
        return read_frames(path, place.first + frames.start, place.first + frames.stop, **size)[:, region[1], region[2]]


class ShardFolder:
    """All shards of a folder, in name order, as one indexed collection of windows."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError for a damaged shard, and for one that is missing from the lists in the folder."""
        check_manifests(folder)
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


def write_shard(
    path: Path,
    sequences: Iterable[Window | CutSequence],
    provenance: dict[str, Any] | None = None,
    *,
    color_format: ColorFormat | None = None,
) -> None:
    """Writes a shard whole or not at all, the safetensors file last. A `Window` is one window; sequences are taken one
    by one, so they need not be in memory together.

    Raises InputError for a sequence whose parts differ in length or size, and if the mp4 files cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    with ShardColors(path, color_format or ColorFormat()) as colors:
        for number, item in enumerate(sequences):
            cut = item if isinstance(item, CutSequence) else CutSequence(item, (Cut(Span(0, len(item.render))),))
            clips, packed = _pack(path, cut.sequence)
            everything = tuple(range(len(cut.sequence.references)))
            windows = [(c.span, everything if c.references is None else c.references) for c in cut.cuts]
            colors.add(clips, windows)
            tensors |= {f"{number}/{name}": value for name, value in packed.items()}
        header = colors.finish(provenance or {})
        with atomic_file(path) as temporary:
            save_file(tensors, temporary, metadata=header.to_metadata())
            colors.publish()


def read_shard(path: Path) -> WindowShard:
    """Opens a shard and checks its header, its mp4 files and the lengths of its volumes. Raises InputError if one is
    missing, damaged, of another length or something else."""
    if not path.is_file():
        raise InputError(path, "no such file", "a shard of windows")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"cannot be read ({error})", "an intact shard of windows") from None
    header = header_from_metadata(path, metadata)
    check_header(path, header)
    for number, sequence in enumerate(header.sequences):
        missing = [name for name in (*PER_FRAME, "references") if f"{number}/{name}" not in shapes]
        if missing:
            found = f"lacks {', '.join(f'{number}/{name}' for name in missing)}"
            raise InputError(path, found, f"all tensors of {len(header.sequences)} sequences")
        size = (sequence.num_frames, sequence.height, sequence.width)
        _require_alike(path, number, {name: shapes[f"{number}/{name}"] for name in PER_FRAME}, size)
    return WindowShard(path, header)


def _require_alike(path: Path, number: int, shapes: dict[str, Sequence[int]], size: tuple[int, int, int]) -> None:
    """Raises InputError unless everything of a sequence is as long and as large as its clip."""
    for name, shape in shapes.items():
        expected = size[: 1 if name == "known" else 3]
        if tuple(shape[:3]) != expected:
            found, wanted = ("x".join(map(str, values)) for values in (shape[:3], expected))
            raise InputError(path, f"sequence {number}: {name} of {found}", f"{wanted}, frames and size of its clip")


def _pack(path: Path, window: Window) -> tuple[dict[ColorName, Tensor], dict[str, Tensor]]:
    """What goes into the videos, and what goes into the safetensors file."""
    tensors = window_tensors(window)
    clips = {name: as_bytes(value) for name, value in tensors.items() if value.dim() == 4 and name not in STILLS}
    packed = {
        name: as_bytes(value) if name in STILLS else as_float16(value) if name in VOLUMES else value
        for name, value in tensors.items()
        if name not in clips
    }
    parts = {name: value.shape for name, value in (packed | clips).items() if name in (*PER_FRAME, *clips)}
    _require_alike(path, 0, parts, tuple(window.render.shape[:3]))
    return clips, packed
