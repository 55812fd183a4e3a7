"""Our weight: as a likelihood weighs.

The loss is mostly L1, the negative logarithm of a Laplace density, which divides every residual by its scale, and the
scale is proportional to the root mean square. A recorded image misses the scene by sqrt(R), where R is its mean squared
residual, and counts 1. An edited pixel counts sqrt(R / E), where E is the expected squared error of the finished frame
(edit and render fused, `video.editing.composite.fused_error`), times the Kalman gain w, the part of it that the render
did not know:

    weight = w min(1, sqrt(R / E))
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from faithfusion.distill.weights.context import WeightContext
from faithfusion.types import Window
from faithfusion.video.editing.editor import EditedClip


def likelihood(window: Window, edited: EditedClip, context: WeightContext) -> Float[Tensor, "t h w"]:
    """Returns the weight of the formula above; w is the gain of the editor."""
    return edited.gain * (context.recorded_sq_error / edited.sq_error.clamp_min(1e-12)).sqrt().clamp_max(1.0)


def level(window: Window, edited: EditedClip, context: WeightContext) -> Float[Tensor, "t h w"]:
    """Returns the mean of `likelihood` everywhere: the same weight in all, without its map."""
    weight = likelihood(window, edited, context)
    return weight.mean().expand_as(weight)
