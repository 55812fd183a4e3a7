"""Recorded pictures beside their renders."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.data.images import load_image
from faithfusion.render.render_view import render_view
from faithfusion.types import Frame, GaussianScene


def contact_sheet(scene: GaussianScene, frames: Sequence[Frame]) -> Float[Tensor, "h w 3"]:
    """One row per frame: the recorded picture, the render, and four times their absolute difference."""
    rows = []
    for frame in frames:
        image = load_image(frame)
        with torch.no_grad():
            color = render_view(scene, frame.camera, frame.time_index).color.clamp(0, 1).cpu()
        rows.append(torch.cat([image, color, (4.0 * (color - image).abs()).clamp(0, 1)], dim=1))
    return torch.cat(rows)
