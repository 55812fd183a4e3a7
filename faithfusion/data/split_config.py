"""What of a recorded drive the fit does not see, light to import."""

from __future__ import annotations

from dataclasses import dataclass

from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class SplitConfig:
    """What the fit does not see.

    Attributes:
        held_out_every: One of so many time stamps is kept back of all cameras, for evaluation; 0 keeps none back. In
            clips of fewer than 5 time stamps the default keeps back one in the middle.
        stretch_frames: So many consecutive time stamps are withheld from each camera in turn, to calibrate EIG where
            the scene is extrapolated. It is at most a sixth of the clip; 0 withholds none. `refine_sequence` fits them
            after that.
    """

    held_out_every: int = 8
    stretch_frames: int = 6

    def __post_init__(self) -> None:
        if self.stretch_frames < 0:
            raise InputError("split.stretch_frames", self.stretch_frames, "0 or a number of time stamps")
