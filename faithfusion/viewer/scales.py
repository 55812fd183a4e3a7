"""The colours of numbers, which are the same in every picture, and their bar for the panel."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from faithfusion.evaluate.report.panels import EIG_RANGE_NATS, color_table, colorize_eig, nice_ticks
from faithfusion.viewer.state import Quantity


@dataclass(frozen=True)
class Scale:
    """A range from 0 to `top`, and what the numbers are."""

    top: float
    unit: str


SCALES: dict[Quantity, Scale] = {
    "depth": Scale(60.0, "depth, m; grey: no surface"),
    "EIG": Scale(EIG_RANGE_NATS, "expected information gain, nats"),
    "expected error": Scale(0.25, "expected RMS colour error; white is 1"),
}


def colorize(values: Float[Tensor, "h w"], scale: Scale) -> Float[Tensor, "h w 3"]:
    """Numbers in the project's colours; larger than the top take the top's colour."""
    return colorize_eig(values[None], scale.top)[0]


def bar_html(quantity: Quantity) -> str:
    """The bar of a quantity's scale with ticks and unit, for a panel of any width; empty for colours."""
    scale = SCALES.get(quantity)
    if scale is None:
        return ""
    stops = ",".join("#" + "".join(f"{round(255 * value):02x}" for value in color) for color in color_table()[::17])
    ticks = "".join(
        f'<span style="position:absolute;left:{100 * tick / scale.top:.2f}%;transform:translateX(-50%)">{tick:g}</span>'
        for tick in nice_ticks(0.0, scale.top)
    )
    return (
        '<div style="margin:0.4em 1.6em 0.2em;font-size:0.8em">'
        f'<div style="height:0.9em;background:linear-gradient(to right,{stops})"></div>'
        f'<div style="position:relative;height:1.5em">{ticks}</div>{scale.unit}</div>'
    )
