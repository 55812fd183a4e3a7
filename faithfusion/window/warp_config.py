"""The configuration of warped views (`window.warp`)."""

from __future__ import annotations

from dataclasses import dataclass

from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class WarpConfig:
    """Which recorded views are brought into a new one.

    Attributes:
        num_views: So many of the best recorded views are kept per pixel; 0 keeps none.
        num_far_views: So many of the best of another time are kept after those: they see a surface from elsewhere, with
            other errors.
        far_time_stamps: A recorded view is of another time if it is so many time stamps away.
        num_candidates: So many recorded frames of each kind are looked at for every new one: those that show most of it
            best.
    """

    num_views: int = 2
    num_far_views: int = 2
    far_time_stamps: int = 10
    num_candidates: int = 6

    def __post_init__(self) -> None:
        if min(self.num_views, self.num_far_views) < 0 or min(self.num_candidates, self.far_time_stamps) < 1:
            found = f"num_views = {self.num_views}, num_far_views = {self.num_far_views}, "
            found += f"num_candidates = {self.num_candidates}, far_time_stamps = {self.far_time_stamps}"
            raise InputError("warp", found, "no negative number of views, and at least 1 candidate and 1 time stamp")
