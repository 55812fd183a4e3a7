"""Colours in mp4 files: H.264 written by x264 through imageio-ffmpeg, any run of frames read back with decord."""

from __future__ import annotations

import functools
import os
import threading
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from faithfusion.clips.clip_config import ColorFormat
from faithfusion.utils.errors import InputError
from faithfusion.utils.extras import require_extra

if TYPE_CHECKING:  # takes most of a second to import
    from decord import VideoReader

ENCODERS = {"rgb": ("libx264rgb", "rgb24"), "yuv444": ("libx264", "yuv444p")}
FRAME_RATE_HZ = 10.0  # for players; frames are addressed by number
MAX_OPEN_VIDEOS = 8
MIN_WIDTH = 64
"""Narrower frames repeat their last column up to this width: decord 3.4 takes rows that FFmpeg padded to 4, 5, ...
times the width for pixels of 4, 5, ... channels."""


class VideoWriter:
    """Writes frames of one size one after another; `close` says how many there are."""

    def __init__(self, path: Path, height: int, width: int, color_format: ColorFormat) -> None:
        from imageio_ffmpeg import write_frames

        self._path, self._num_frames = path, 0
        self._columns = np.arange(max(width, MIN_WIDTH)).clip(max=width - 1)
        codec, pixels = ENCODERS[color_format.pixels]
        self._frames = write_frames(
            str(path),
            (len(self._columns), height),
            pix_fmt_out=pixels,
            fps=FRAME_RATE_HZ,
            quality=None,
            codec=codec,
            macro_block_size=1,
            ffmpeg_log_level="error",
            output_params=_x264_options(color_format),
        )
        self._frames.send(None)

    def write(self, frames: UInt8[Tensor, "t h w 3"]) -> None:
        """Appends frames."""
        for frame in frames.numpy()[:, :, self._columns]:
            self._frames.send(np.ascontiguousarray(frame))
        self._num_frames += len(frames)

    def close(self) -> int:
        """Ends the file. Raises InputError unless all frames are in it: a full disk, an ffmpeg without the encoder."""
        self._frames.close()
        found = count_frames(self._path)
        if found != self._num_frames:
            expected = f"{self._num_frames} frames (a full disk, or an ffmpeg without x264?)"
            raise InputError(self._path, f"{found} frames could be written", expected)
        return self._num_frames

    def abandon(self) -> None:
        """Ends the file as it is."""
        self._frames.close()


def _x264_options(color_format: ColorFormat) -> list[str]:
    """Options that put key frames at fixed places and let no frame wait for a later one. CAVLC takes a tenth more space
    than CABAC where nothing is lost, and is read three times as fast."""
    every = str(color_format.keyframe_every)
    keys = ["-g", every, "-keyint_min", every, "-sc_threshold", "0", "-bf", "0"]
    return ["-crf", str(color_format.crf), *keys, *(["-coder", "0"] if color_format.crf == 0 else [])]


def count_frames(path: Path) -> int:
    """Frames of a video; 0 if it cannot be opened."""
    try:
        return len(_open_video(path))
    except _reading_errors():
        return 0


def read_frames(path: Path, start: int, stop: int, *, height: int, width: int) -> UInt8[Tensor, "t h w 3"]:
    """Frames start .. stop - 1. Raises InputError if the video is missing, damaged, too short or of another size."""
    try:
        status = path.stat()
        video = _kept_video(path, (status.st_size, status.st_mtime_ns), (os.getpid(), threading.get_ident()))
        if stop > len(video):
            raise InputError(path, f"{len(video)} frames", f"at least {stop} frames")
        frames = torch.from_numpy(video.get_batch(range(start, stop)).asnumpy())
    except FileNotFoundError:
        raise InputError(path, "no such file", "the colours of a shard") from None
    except _reading_errors() as error:
        raise InputError(path, f"cannot be decoded ({str(error).splitlines()[0]})", "an intact mp4") from None
    if frames.shape[1:3] != (height, max(width, MIN_WIDTH)):
        raise InputError(path, f"frames of {frames.shape[2]}x{frames.shape[1]}", f"{max(width, MIN_WIDTH)}x{height}")
    return frames[:, :, :width]


@functools.lru_cache(maxsize=MAX_OPEN_VIDEOS)
def _kept_video(path: Path, _state: tuple[int, int], _reader: tuple[int, int]) -> VideoReader:
    """An open video: opening one reads its whole index. A reader belongs to one thread of one process."""
    return _open_video(path)


def _reading_errors() -> tuple[type[Exception], ...]:
    return _decord().DECORDError, RuntimeError, OSError


def _decord() -> ModuleType:
    """The library that decodes; most of a second to import. Raises InputError if it is not installed."""
    require_extra("train", "decord")
    import decord

    return decord


def _open_video(path: Path) -> VideoReader:
    decord = _decord()
    decord.logging.set_level(decord.logging.QUIET)  # what is wrong is said in one line by whoever asked
    return decord.VideoReader(str(path), num_threads=1)
