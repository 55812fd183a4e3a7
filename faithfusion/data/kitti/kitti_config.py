"""What of a KITTI drive goes into a drive of ours."""

from __future__ import annotations

from dataclasses import dataclass

from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class KittiConfig:
    """Options of `prepare_kitti`.

    Attributes:
        cameras: The cameras that are taken: 0 and 1 are grey, left and right, 2 and 3 are in colour, left and right.
            They are named "0", "1", ... in this order.
        start: The first frame that is taken.
        frames: The number of frames from there on; null takes all.
        scale: The size of the images as a share of the recorded one, at most 1; at 1 the files are copied untouched.
        masks: Writes masks of what moves, from the tracklets.
    """

    cameras: tuple[int, ...] = (2, 3)
    start: int = 0
    frames: int | None = None
    scale: float = 1.0
    masks: bool = True

    def __post_init__(self) -> None:
        if not self.cameras or len(set(self.cameras)) != len(self.cameras) or not set(self.cameras) <= set(range(4)):
            raise InputError("cameras", self.cameras, "some of 0 to 3, each once")
        if self.start < 0 or (self.frames is not None and self.frames < 1):
            found = f"start {self.start}, frames {self.frames}"
            raise InputError("frames", found, "a start from 0 on, 1 or more frames")
        if not 0 < self.scale <= 1:
            raise InputError("scale", self.scale, "a number above 0, at most 1")
