"""The weights of the released code: bins of its gain. There they act on the L1 of the colours alone, and all other
losses of a new view count the same everywhere (reference: models/trainers/base.py of the official repository)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from faithfusion.distill.weights.context import WeightContext
from faithfusion.eig.published import bin_weight
from faithfusion.types import Window
from faithfusion.video.editing.editor import EditedClip

RELEASED_BESIDES_L1 = 0.7
"""What SSIM and the other losses of a new view count in the released code, whatever the gain."""


def published(window: Window, edited: EditedClip, context: WeightContext) -> Float[Tensor, "t h w"]:
    """Returns 0.1, 0.3, 0.7 or 1 by the bin of the gain (`eig.published.bin_weight`)."""
    return bin_weight(context.published_gain)
