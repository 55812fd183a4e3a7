"""One picture of the middle of a clip: before, EIG, repaired video, distilled scene and truth side by side."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from faithfusion.evaluate.report.panels import EIG_RANGE_NATS, colorize_eig, side_by_side, with_color_bar
from faithfusion.utils.media import write_image

Clip = Float[Tensor, "t h w 3"]


def write_strip(
    path: Path, before: Clip, eig_nats: Float[Tensor, "t h w"], video: Clip, scene: Clip, truth: Clip | None
) -> None:
    """Draws the frame in the middle of the clips; without `truth` the strip ends with the scene."""
    middle = slice(len(before) // 2, len(before) // 2 + 1)
    panels = {
        "before": before[middle],
        "EIG": with_color_bar(colorize_eig(eig_nats[middle], EIG_RANGE_NATS), EIG_RANGE_NATS),
        "repaired video": video[middle],
        "distilled scene": scene[middle],
    }
    if truth is not None:
        panels["truth"] = truth[middle]
    write_image(path, side_by_side(panels, columns=len(panels))[0])
