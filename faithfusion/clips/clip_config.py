"""The settings of stored clips, in a module that is light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from faithfusion.utils.errors import InputError

CHUNK_FRAMES = 4  # frames per latent frame, after the first


LARGEST_CRF = 51


@dataclass(frozen=True)
class ColorFormat:
    """How colours are stored in mp4 files.

    Attributes:
        pixels: "rgb" with `crf` 0 gives every byte back. "yuv444" keeps all pixels' colours but rounds them to
            8-bit YCbCr: 52 dB at best, in about 60 % of the space (docs/pairs.md has figures).
        crf: The constant rate factor of x264: 0 is lossless (after the rounding of "yuv444"), larger is smaller and
            worse.
        keyframe_every: There are so many frames from one key frame to the next; reading starts at the last one before
            the frame that is asked for.
    """

    pixels: Literal["rgb", "yuv444"] = "rgb"
    crf: int = 0
    keyframe_every: int = 8

    def __post_init__(self) -> None:
        if not 0 <= self.crf <= LARGEST_CRF:
            raise InputError("colors.crf", self.crf, f"a number from 0 to {LARGEST_CRF}")
        if self.keyframe_every < 1:
            raise InputError("colors.keyframe_every", self.keyframe_every, "at least 1 frame")
