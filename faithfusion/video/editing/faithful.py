"""The best known tenth of a clip's pixels is the render's own, bit for bit, whatever a chain of editors made of it.

Every editor leaves alone what is known well (`composite.faithful_floor`). In a scene that is bad everywhere nothing is,
and an editor deeper in a chain sees other errors than the first: so the rule is kept once more, on the finished clip.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.types import EigVolume, Window
from faithfusion.video.editing.composite import composite
from faithfusion.video.editing.editor import EditedClip

ALIKE = 1e-3
"""Expected errors that differ by less than this share count as equal: calibration has plateaus."""


def faithful(edited: EditedClip, window: Window, share: float) -> EditedClip:
    """The edited clip of a window with the render in the `share` of the pixels that are known best. One that has it
    there already is returned as it is."""
    if share == 0.0:
        return edited
    kept = best_known(window.eig, edited.gain, share)
    if bool((edited.gain[kept] == 0.0).all()):
        return edited
    error = window.eig.expected_sq_error
    part = _fade(error, kept)
    gain = part * edited.gain
    return dataclasses.replace(
        edited,
        frames=composite(window.render, edited.edit, gain),
        gain=gain,
        sq_error=torch.lerp(error, edited.sq_error, part),  # at most this: squares are convex
    )


def best_known(volume: EigVolume, gain: Float[Tensor, "t h w"], share: float) -> Bool[Tensor, "t h w"]:
    """The `share` of a clip's pixels, rounded up, whose expected squared error is least. Of equal ones those with gain
    0 are taken first, then those with the least EIG, then those that come first."""
    error = volume.expected_sq_error.flatten()
    count = min(math.ceil(share * error.numel()), error.numel())
    level = error.kthvalue(count).values
    ties = (error - level).abs() <= ALIKE * level
    kept = (error < level) & ~ties
    rank = torch.where(gain.flatten()[ties] == 0.0, -torch.inf, volume.eig_nats.flatten()[ties].float())
    first = rank.argsort(stable=True)[: count - int(kept.sum())]
    kept[ties.nonzero()[first, 0]] = True
    return kept.reshape(volume.expected_sq_error.shape)


def _fade(error: Float[Tensor, "t h w"], kept: Bool[Tensor, "t h w"]) -> Float[Tensor, "t h w"]:
    """What is left of the gain: 0 where the render is kept, and from there to 1 over as many pixels more, so that no
    seam is seen; on a plateau of the expected error at once."""
    low = error[kept].amax()
    count = min(2 * int(kept.sum()), error.numel())
    high = error.flatten().kthvalue(count).values
    is_plateau = high <= low * (1.0 + ALIKE)
    part = torch.ones_like(error) if is_plateau else ((error - low) / (high - low)).clamp(0.0, 1.0)
    return torch.where(kept, 0.0, part)
