"""Writes the mp4 files of a shard: one per colour and frame size; they get their names when they are whole."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from faithfusion.clips.clip_config import ColorFormat
from faithfusion.clips.shard_header import (
    ColorName,
    ColorPlace,
    SequenceEntry,
    ShardHeader,
    VideoEntry,
    WindowEntry,
    warped_name,
)
from faithfusion.clips.video_file import VideoWriter
from faithfusion.clips.windows import Span


@dataclass
class _OpenVideo:
    final: Path
    temporary: Path
    writer: VideoWriter
    num_frames: int = 0


@dataclass
class ShardColors:
    """A context in which sequences are added; what is not published when it ends is removed."""

    path: Path
    color_format: ColorFormat
    _videos: dict[str, _OpenVideo] = field(default_factory=dict)
    _sequences: list[SequenceEntry] = field(default_factory=list)
    _windows: list[WindowEntry] = field(default_factory=list)

    def __enter__(self) -> ShardColors:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, _type: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        for video in self._videos.values():
            video.writer.abandon()
            video.temporary.unlink(missing_ok=True)

    def add(
        self, clips: Mapping[ColorName, UInt8[Tensor, "t h w 3"]], windows: Sequence[tuple[Span, tuple[int, ...]]]
    ) -> None:
        """Appends a sequence, its render and perhaps truth and warped views, and its windows with their references."""
        places = {name: self._append(name, clip) for name, clip in clips.items()}
        number = len(self._sequences)
        size = tuple(clips["render"].shape[:3])
        warped = tuple(places[name] for name in map(warped_name, range(len(places))) if name in places)
        self._sequences.append(SequenceEntry(*size, places["render"], places.get("truth"), warped))
        self._windows += [WindowEntry(number, span.start, span.stop, references) for span, references in windows]

    def _append(self, name: ColorName, clip: UInt8[Tensor, "t h w 3"]) -> ColorPlace:
        height, width = clip.shape[1:3]
        key = f"{name}_{width}x{height}"
        if key not in self._videos:
            stem = f"{self.path.stem}_{key}"
            temporary = self.path.with_name(f".{stem}.{os.getpid()}.tmp.mp4")
            writer = VideoWriter(temporary, height, width, self.color_format)
            self._videos[key] = _OpenVideo(self.path.with_name(f"{stem}.mp4"), temporary, writer)
        video = self._videos[key]
        place = ColorPlace(list(self._videos).index(key), video.num_frames)
        video.writer.write(clip)
        video.num_frames += len(clip)
        return place

    def finish(self, provenance: dict[str, Any]) -> ShardHeader:
        """Closes the files and describes the shard. Raises InputError for a file that is not whole."""
        entries = []
        for video in self._videos.values():
            num_frames = video.writer.close()
            entries.append(VideoEntry(video.final.name, num_frames, video.temporary.stat().st_size))
        return ShardHeader(tuple(entries), tuple(self._sequences), tuple(self._windows), provenance)

    def publish(self) -> None:
        """Gives the files their names. A shard that was there before goes first, so that it never has others' files."""
        self.path.unlink(missing_ok=True)
        for video in self._videos.values():
            video.temporary.chmod(0o644)
            os.replace(video.temporary, video.final)
