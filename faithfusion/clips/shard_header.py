"""The header of a shard: which mp4 files belong to it, its sequences, and which of their frames are windows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from faithfusion.utils.errors import InputError

FORMAT = "faithfusion.windows"
VERSION = 2
ColorName = str
"""`render`, `truth`, or `warped0`, `warped1`, ... for the warped views."""


def warped_name(number: int) -> ColorName:
    """Name of the clip of the `number`-th best warped views."""
    return f"warped{number}"


@dataclass(frozen=True)
class VideoEntry:
    """An mp4 file beside the shard, and how long it must be."""

    file: str
    num_frames: int
    num_bytes: int


@dataclass(frozen=True)
class ColorPlace:
    """The place of a sequence's colours: the number of the shard's video, and the first frame in it."""

    video: int
    first: int


@dataclass(frozen=True)
class SequenceEntry:
    """Consecutive frames of which windows are cut; frames that windows share are stored once."""

    num_frames: int
    height: int
    width: int
    render: ColorPlace
    truth: ColorPlace | None
    warped: tuple[ColorPlace, ...] = ()  # younger than the format: shards before have none

    def place(self, name: ColorName) -> ColorPlace | None:
        """The place of one of its colours; None if it has none of that name."""
        return self.places.get(name)

    @property
    def places(self) -> dict[ColorName, ColorPlace]:
        """The places of all its colours by name."""
        named = {"render": self.render, "truth": self.truth}
        named |= {warped_name(number): place for number, place in enumerate(self.warped)}
        return {name: place for name, place in named.items() if place is not None}


@dataclass(frozen=True)
class WindowEntry:
    """Frames start .. stop - 1 of a sequence, with some of its references."""

    sequence: int
    start: int
    stop: int
    references: tuple[int, ...]


@dataclass(frozen=True)
class ShardHeader:
    """All that is known of a shard without reading pixels; `provenance` says what it was made from."""

    videos: tuple[VideoEntry, ...]
    sequences: tuple[SequenceEntry, ...]
    windows: tuple[WindowEntry, ...]
    provenance: dict[str, Any]

    def to_metadata(self) -> dict[str, str]:
        """The metadata of the safetensors file."""
        plain = asdict(self)
        return {"format": FORMAT, "version": str(VERSION)} | {key: json.dumps(value) for key, value in plain.items()}


def header_from_metadata(path: Path, metadata: Mapping[str, str]) -> ShardHeader:
    """Inverse of `ShardHeader.to_metadata`. Raises InputError for another format or version, or a damaged header."""
    found = (metadata.get("format"), metadata.get("version"))
    if found != (FORMAT, str(VERSION)):
        expected = f"{FORMAT}, version {VERSION} (tools/make_pairs.py makes them)"
        raise InputError(path, "format {}, version {}".format(*found), expected)
    try:
        plain = {key: json.loads(metadata[key]) for key in ("videos", "sequences", "windows", "provenance")}
        return ShardHeader(
            videos=tuple(VideoEntry(**entry) for entry in plain["videos"]),
            sequences=tuple(_sequence(entry) for entry in plain["sequences"]),
            windows=tuple(
                WindowEntry(**entry | {"references": tuple(entry["references"])}) for entry in plain["windows"]
            ),
            provenance=dict(plain["provenance"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"header cannot be read ({error})", "an intact shard of windows") from None


def _sequence(plain: dict[str, Any]) -> SequenceEntry:
    truth = plain["truth"]
    places = {"render": ColorPlace(**plain["render"]), "truth": None if truth is None else ColorPlace(**truth)}
    places["warped"] = tuple(ColorPlace(**place) for place in plain.get("warped", ()))
    return SequenceEntry(**plain | places)


def check_header(path: Path, header: ShardHeader) -> None:
    """Raises InputError unless the shard's mp4 files are there and whole, and hold the frames of its sequences."""
    for entry in header.videos:
        video = path.with_name(Path(entry.file).name)
        expected = f"{entry.num_bytes} bytes ({entry.num_frames} frames), as {path.name} says"
        if not video.is_file():
            raise InputError(video, "no such file", expected)
        if video.stat().st_size != entry.num_bytes:
            raise InputError(video, f"{video.stat().st_size} bytes", expected)
    for number, sequence in enumerate(header.sequences):
        for place in sequence.places.values():
            if not 0 <= place.video < len(header.videos):
                raise InputError(path, f"sequence {number} in video {place.video}", f"one of {len(header.videos)}")
            video = header.videos[place.video]
            if place.first + sequence.num_frames > video.num_frames:
                found = f"sequence {number} in frames {place.first} to {place.first + sequence.num_frames - 1}"
                raise InputError(path, f"{found} of {video.file}", f"at most its {video.num_frames} frames")
    for number, window in enumerate(header.windows):
        length = header.sequences[window.sequence].num_frames if window.sequence < len(header.sequences) else 0
        if not 0 <= window.start < window.stop <= length:
            found = f"window {number} of frames {window.start} to {window.stop - 1}"
            raise InputError(path, found, f"frames of sequence {window.sequence}, which has {length}")
