"""Exposure of the recorded pictures, fitted together with the Gaussians.

One gain per camera, linear between knots in time. Held together by a weak pull to 0, without which the
scene's own colours would be free up to a common factor.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from faithfusion.fit.fit_config import ExposureConfig
from faithfusion.fit.motion import make_knots
from faithfusion.types import Exposure


class FittedExposure:
    """Exposure of all pictures of a rig; `parameters` are what an optimiser steps."""

    def __init__(
        self, camera_names: Sequence[str], num_frames: int, config: ExposureConfig, device: torch.device | str = "cpu"
    ) -> None:
        self.camera_names, self.config = tuple(camera_names), config
        self._knots = make_knots([torch.arange(num_frames)] * len(self.camera_names), config.knot_frames)
        self._gains = Parameter(torch.zeros(self._knots.count, 3, device=device))
        self.parameters = {"exposure_gains": self._gains}

    def exposure(self) -> Exposure:
        """The present exposure of every picture; differentiable in `parameters`."""
        gains = self._knots.at(self._gains).reshape(len(self.camera_names), -1, 3)
        return Exposure(self.camera_names, gains, torch.zeros_like(gains))

    def prior_loss(self) -> Tensor:
        """Weighted mean square of all log gains."""
        return self.config.prior_weight * self._gains.square().mean()
