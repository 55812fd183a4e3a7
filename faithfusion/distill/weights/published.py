"""The weight of the released code: bins of its gain."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from faithfusion.distill.weights.context import WeightContext
from faithfusion.eig.published import bin_weight
from faithfusion.types import Window
from faithfusion.video.editing.editor import EditedClip


def published(window: Window, edited: EditedClip, context: WeightContext) -> Float[Tensor, "t h w"]:
    """Returns 0.1, 0.3, 0.7 or 1 by the bin of the gain (`eig.published.bin_weight`)."""
    return bin_weight(context.published_gain)
