"""The configuration of warped views (`window.warp`)."""

from __future__ import annotations

from dataclasses import dataclass

from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class WarpConfig:
    """Which recorded views are brought into a new one.

    Attributes:
        num_views: So many of the best recorded views are kept per pixel; 0 keeps none.
        num_candidates: So many of the nearest recorded frames are looked at for every new one.
    """

    num_views: int = 2
    num_candidates: int = 12

    def __post_init__(self) -> None:
        if self.num_views < 0 or self.num_candidates < 1:
            found = f"num_views = {self.num_views}, num_candidates = {self.num_candidates}"
            raise InputError("warp", found, "no negative number of views, and at least 1 candidate")
