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
        depth_tolerance: largest difference between the depth of a surface and what the recorded view sees there, as a
            share of the depth; beyond it something else is in front, or the surface is not there.
        above_ground_m: rendered surface up to so far above the ground, or below it, is taken to be the ground.
        coarser_weight: what a recorded view loses for seeing a surface from twice as far, in radians of angle.
    """

    num_views: int = 2
    num_candidates: int = 12
    depth_tolerance: float = 0.05
    above_ground_m: float = 0.3
    coarser_weight: float = 0.3

    def __post_init__(self) -> None:
        if self.num_views < 0 or self.num_candidates < 1:
            found = f"num_views = {self.num_views}, num_candidates = {self.num_candidates}"
            raise InputError("warp", found, "no negative number of views, and at least 1 candidate")
        if not self.depth_tolerance > 0:
            raise InputError("warp.depth_tolerance", self.depth_tolerance, "a positive share of the depth")
