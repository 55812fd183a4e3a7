"""What of a py123d log goes into a drive of ours."""

from __future__ import annotations

from dataclasses import dataclass

from faithfusion.utils.errors import InputError

MAX_FOV_DEG = 150.0


@dataclass(frozen=True)
class Py123dConfig:
    """Options of `prepare_py123d`.

    Attributes:
        cameras: The cameras that are taken, with names such as "pcam_f0"; null takes all pinhole cameras. They are
            named "0", "1", ... in this order.
        start: The first iteration that is taken.
        frames: The number of iterations from there on; null takes all.
        fov_deg: The horizontal field of view in degrees of the images that are made from cameras that are no pinholes.
    """

    cameras: tuple[str, ...] | None = None
    start: int = 0
    frames: int | None = None
    fov_deg: float = 90.0

    def __post_init__(self) -> None:
        if self.start < 0 or (self.frames is not None and self.frames < 1):
            found = f"start {self.start}, frames {self.frames}"
            raise InputError("frames", found, "a start from 0 on, 1 or more frames")
        if not 0 < self.fov_deg <= MAX_FOV_DEG:
            raise InputError("fov_deg", self.fov_deg, f"degrees above 0, at most {MAX_FOV_DEG:g}")
