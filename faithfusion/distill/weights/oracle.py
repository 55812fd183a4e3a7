"""The weights that know the truth: the ceiling of what any map of errors can give. Only streets with truth have them.

The formula is that of `likelihood` with the true squared errors of every pixel in place of the expected ones: those of
render and edit and their product give the gain (`video.editing.composite`), and what that gain leaves gives the scale.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from faithfusion.distill.weights.context import WeightContext
from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor import EditedClip


def oracle(window: Window, edited: EditedClip, context: WeightContext) -> Float[Tensor, "t h w"]:
    """Returns w min(1, sqrt(R / E)), w and E from the true clip. Raises InputError for a window without one."""
    if window.truth is None:
        raise InputError("distill.weight", "oracle without a true clip", "a street's shift with true pictures")
    missing, change = window.truth - window.render, edited.edit - window.render
    gain = ((missing * change).sum(-1) / change.square().sum(-1).clamp_min(1e-12)).clamp(0.0, 1.0)
    left = (missing - gain[..., None] * change).square().mean(-1)
    return gain * (context.recorded_sq_error / left.clamp_min(1e-12)).sqrt().clamp_max(1.0)
