"""The weights of the distillation by name. A new one is a function in a file of its own and a line in `WEIGHTS`; one in
the user's own file is named by its import path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from faithfusion.distill.weights.context import WeightContext
from faithfusion.distill.weights.likelihood import level, likelihood
from faithfusion.distill.weights.oracle import oracle
from faithfusion.distill.weights.plain import eig, kalman, uniform
from faithfusion.distill.weights.published import RELEASED_BESIDES_L1, published
from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.utils.import_path import imported
from faithfusion.video.editing.editor import EditedClip

ORACLE = "oracle"
"""The name of the weights that need the true clip."""
EXPECTED = "package.module:function or path/to/file.py:function, of (window, edited, context)"


@dataclass(frozen=True)
class PixelWeight:
    """A weight and its name in tables. `of` takes the rendered clip, the edited one and the context, and returns what
    every pixel counts, in [0, 1]. `besides_l1`: what every pixel counts in all losses but the L1 of the colours, if
    they do not have the weights of `of`."""

    of: Callable[[Window, EditedClip, WeightContext], Float[Tensor, "t h w"]]
    label: str
    besides_l1: float | None = None


WEIGHTS: dict[str, PixelWeight] = {
    "likelihood": PixelWeight(likelihood, "our EIG"),
    "level": PixelWeight(level, "our EIG, its mean everywhere"),
    "kalman": PixelWeight(kalman, "Kalman gain"),
    "uniform": PixelWeight(uniform, "uniform"),
    "eig": PixelWeight(eig, "plain EIG"),
    "published_map": PixelWeight(published, "published map"),
    "released": PixelWeight(published, "published loss, as released", RELEASED_BESIDES_L1),
    ORACLE: PixelWeight(oracle, "weights that know the truth"),
}


def weight_of(name: str) -> PixelWeight:
    """Returns the weight of a name or of an import path. Raises InputError if there is none."""
    if name in WEIGHTS:
        return WEIGHTS[name]
    if ":" not in name:
        raise InputError("distill.weight", name, f"one of {', '.join(WEIGHTS)}, or the import path of your own")
    function: Callable[[Window, EditedClip, WeightContext], Tensor] = imported(name, "distill.weight", EXPECTED)
    if not callable(function):
        raise InputError("distill.weight", f"{name} is no function", EXPECTED)
    return PixelWeight(function, name.rpartition(":")[2].replace("_", " "))
