"""Whether borders of chained windows can be seen: the error of the change from frame to frame, there and elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.clips.windows import Span


@dataclass(frozen=True)
class SeamScores:
    """Errors of the change between neighbouring frames, mean absolute colours in [0, 1].

    `worst_ratio` is the largest error at a seam over the median elsewhere.
    """

    at_seams: tuple[float, ...]
    median_elsewhere: float

    @property
    def worst_ratio(self) -> float:
        """The largest error at a seam over the median elsewhere: 1 if no seam is worse than the frames around it
        usually are."""
        return max(self.at_seams) / self.median_elsewhere if self.at_seams else 0.0


def change_errors(frames: Float[Tensor, "t h w 3"], truth: Float[Tensor, "t h w 3"]) -> Float[Tensor, " t1"]:
    """Returns the mean absolute difference between the change from frame t to t + 1 and the true change."""
    return ((frames[1:] - frames[:-1]) - (truth[1:] - truth[:-1])).abs().mean((1, 2, 3))


def seam_steps(spans: Sequence[Span]) -> tuple[int, ...]:
    """Returns the steps t -> t + 1 in which frame t is the last one that the earlier window made, alone or shared, and
    t + 1 the first one that the later window made alone."""
    return tuple(earlier.stop - 1 for earlier, _ in zip(spans, spans[1:], strict=False))


def score_seams(frames: Float[Tensor, "t h w 3"], truth: Float[Tensor, "t h w 3"], spans: Sequence[Span]) -> SeamScores:
    """Scores a clip that was made in the windows `spans`."""
    errors, steps = change_errors(frames, truth), seam_steps(spans)
    elsewhere = torch.ones(len(errors), dtype=torch.bool)
    elsewhere[list(steps)] = False
    return SeamScores(tuple(errors[list(steps)].tolist()), float(errors[elsewhere].median()))
