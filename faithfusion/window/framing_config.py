"""How pictures get sizes that the generator takes, light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class FramingConfig:
    """How pictures get sides that are multiples of 16. They are never stretched.

    Attributes:
        downscale: Blocks of so many pixels a side become one pixel, for drives recorded larger than the generator
            works.
        sides: "crop" cuts up to 15 pixels, evenly from both sides; "pad" renders up to 15 pixels more, to the right
            and below, where nothing was recorded and nothing is learnt.
    """

    downscale: int = 1
    sides: Literal["crop", "pad"] = "crop"

    def __post_init__(self) -> None:
        if self.downscale < 1:
            raise InputError("framing.downscale", self.downscale, "a whole number of at least 1")
