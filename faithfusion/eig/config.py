"""Settings of the expected information gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class EigConfig:
    """Noise, prior and memory of the expected information gain.

    Attributes:
        noise_std: The standard deviation sigma of the sensor in one colour channel, colours in [0, 1]. What a recorded
            image departs from the render comes on top and is measured at every pixel.
        pixels_per_observation: So many pixels tell as much as one independent observation, because residuals of
            neighbouring pixels and frames go together. The number was chosen on procedural streets
            (`tools/calibrate_eig.py`).
        posterior: "block" keeps the upper triangle of D x D per Gaussian, "diag" its diagonal. For colours of degree 0,
            1, 2, 3 a block has 364, 1012, 2812, 6844 B and a diagonal has 52, 88, 148, 232 B.
        prior_color: The prior standard deviation of a colour channel, of the Gaussians' diffuse part and of the sky.
        max_entries: The first pass holds at most so many entries of the tile lists at once (144 B each).
        chunk_size: So many Gaussians with view-dependent colours are worked on at once (about 100 kB each at degree 3).
    """

    noise_std: float = 0.02
    pixels_per_observation: float = 16.0
    posterior: Literal["block", "diag"] = "block"
    prior_color: float = 0.3
    max_entries: int = 2_000_000
    chunk_size: int = 2048

    def __post_init__(self) -> None:
        if self.posterior not in ("block", "diag"):
            raise InputError("eig.posterior", self.posterior, "block or diag")
        for name, value in vars(self).items():
            if name != "posterior" and not value > 0:
                raise InputError(f"eig.{name}", value, "a positive number")
