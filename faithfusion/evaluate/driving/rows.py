"""Rows of numbers, one for each picture, as the state of a torchmetrics metric."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class PictureRows(Metric):
    """What is kept of every picture, and of which clip it is; processes and merged metrics put theirs together.

    The state is one flat tensor, because a process that saw nothing contributes an empty one. Numbers are float32, in
    which counts of pixels are exact.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    columns: tuple[str, ...] = ()
    rows: list[Tensor] | Tensor

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def keep(self, clip: int, rows: Iterable[Float[Tensor, " columns"]]) -> None:
        """Adds one row for each picture of a clip."""
        self.rows += [torch.cat([torch.tensor([float(clip)]), row]).to(self.device) for row in rows]

    def table(self) -> tuple[Int[Tensor, " n"], dict[str, Float[Tensor, " n"]]]:
        """Returns the clip of each picture, and each column by its name, in float64."""
        width = 1 + len(self.columns)
        flat = dim_zero_cat(self.rows) if len(self.rows) else torch.zeros(0)
        numbers = flat.double().reshape(-1, width)
        return numbers[:, 0].long(), dict(zip(self.columns, numbers[:, 1:].unbind(1), strict=True))


def mean_over_clips(
    clips: Int[Tensor, " n"], part: Float[Tensor, " n"], whole: Float[Tensor, " n"] | None = None
) -> Float[Tensor, ""]:
    """Returns the mean over clips of sum(part) / sum(whole) of a clip's pictures; without `whole`, of the mean of
    `part`. A clip whose `whole` is 0 says nothing and is left out; NaN if all are."""
    ratios = []
    for clip in clips.unique():
        mine = clips == clip
        total = mine.sum() if whole is None else whole[mine].sum()
        if total > 0:
            ratios.append(part[mine].sum() / total)
    return torch.stack(ratios).mean() if ratios else torch.tensor(torch.nan, dtype=torch.float64)
