"""Settings of the first Gaussians and of density control, light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class InitialiseConfig:
    """How the first Gaussians are placed.

    Attributes:
        max_gaussians: The fit starts from so many Gaussians in all.
        far_fraction: The share of them that is spent on what LiDAR does not reach.
        max_node_gaussians: A moving vehicle gets at most so many Gaussians.
        max_dense_points: So many LiDAR points are kept for thinning and for tests of visibility.
        num_frames: Colours, seeds and the sky are taken from so many training frames, spread over the clip.
        sky_height: The number of rows of the sky's texture, which has twice as many columns.
        sh_degree: The degree of the spherical harmonics of colour, 0 to 3.
        ground: How Gaussians on the LiDAR ground start: with "neighbours" in the plane of their neighbouring returns as
            everywhere else, with "discs" in the fitted ground surface.
    """

    max_gaussians: int = 36_000
    far_fraction: float = 0.3
    max_node_gaussians: int = 1_500
    max_dense_points: int = 200_000
    num_frames: int = 24
    sky_height: int = 128
    sh_degree: int = 0
    ground: Literal["neighbours", "discs"] = "discs"

    def __post_init__(self) -> None:
        if self.max_gaussians < 1 or not 0 <= self.far_fraction <= 1:
            found = f"max_gaussians = {self.max_gaussians}, far_fraction = {self.far_fraction}"
            raise InputError("initialise", found, "at least 1 Gaussian and a share between 0 and 1")
        if not 0 <= self.sh_degree <= 3:
            raise InputError("initialise.sh_degree", self.sh_degree, "0 to 3")


@dataclass(frozen=True)
class DensifyConfig:
    """When and where Gaussians are added and removed.

    Attributes:
        start_step: The first step after which Gaussians may be added and removed.
        stop_step: From this step on no Gaussians are added or removed.
        every_steps: There are so many steps between two refinements.
        max_gaussians: There are never more Gaussians than this.
        max_growth: One refinement adds at most this share of the present number.
        grow_gradient: Gaussians grow if their mean gradient on the screen (image coordinates in [-1, 1]) is above this.
        split_radius: Of those that grow, the ones with a radius above this share of the image's width are split,
            smaller ones duplicated.
    """

    start_step: int = 150
    stop_step: int = 600
    every_steps: int = 100
    max_gaussians: int = 60_000
    max_growth: float = 0.2
    grow_gradient: float = 2e-4
    split_radius: float = 0.02

    def __post_init__(self) -> None:
        if self.every_steps < 1 or self.max_gaussians < 1:
            found = f"every_steps = {self.every_steps}, max_gaussians = {self.max_gaussians}"
            raise InputError("densify", found, "positive counts")

    def is_due(self, step: int) -> bool:
        """Whether refinement follows `step` (counted from 1)."""
        return self.start_step <= step < self.stop_step and step % self.every_steps == 0
