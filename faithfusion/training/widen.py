"""A small fixer becomes one that reads more views, lets them slide, or sees other frames, without a new result; or the
head of a generator, with nearly the same one."""

from __future__ import annotations

import dataclasses

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from faithfusion.video.model.fixers.fixer import Fixer
from faithfusion.video.model.fixers.fixer_config import FixerConfig
from faithfusion.video.model.fixers.head import PixelHead
from faithfusion.video.model.fixers.pixels import AXES, COLORS, NUM_MAPS, PixelFixer

IN, OUT = ("network.conv_in.weight",), ("network.conv_out.weight", "network.conv_out.bias")
CLIP_LOGIT = -3.0
"""Of the decoded clip, beside the render's, in a head that starts as a fixer: little, but enough to learn from."""


def can_widen(found: FixerConfig, wanted: FixerConfig) -> bool:
    """Whether two architectures differ in nothing but more views, the beginning of attention between frames and that of
    views that slide."""
    new = {"num_views": wanted.num_views, "reach": wanted.reach, "slide_px": wanted.slide_px}
    alike = dataclasses.replace(found, **new) == wanted
    starts = found.reach in (0, wanted.reach) and found.slide_px in (0.0, wanted.slide_px)
    return alike and starts and found.sd_turbo is None and 0 < found.num_views <= wanted.num_views


@torch.no_grad()
def widen(narrow: Fixer, wide: PixelFixer) -> None:
    """Gives `wide`, which `can_widen` allows, the weights of `narrow`.

    What is read of a new view has no weight yet, and it is copied as far as the last of the old ones would be: while
    new views are not trusted, both make the same frames. Attention between frames starts at its own zero, and views lie
    still that may slide.
    """
    config, more = narrow.config, wide.config.num_views - narrow.config.num_views
    state, cell = dict(narrow.state_dict()), config.unshuffle**2
    for name in IN:
        render, views, trust, maps = _inputs(state[name], config.num_views, cell)
        none = torch.zeros_like(trust[:, :1])
        new_views, new_trust = none.repeat(1, COLORS * more, 1, 1, 1), none.repeat(1, more, 1, 1, 1)
        state[name] = _joined(render, views, new_views, trust, new_trust, maps)
    for name in OUT:
        logits, residual, slides = _outputs(state[name], config.num_views, cell)
        logits = torch.cat([logits, *[logits[-1:]] * more])
        missing = wide.state_dict()[name].shape[0] // cell - len(logits) - len(residual) - len(slides)
        parts = [logits, residual, slides, torch.zeros_like(residual[:1]).expand(missing, *residual.shape[1:])]
        state[name] = rearrange(torch.cat(parts), "c cell ... -> (c cell) ...")
    own = {name: value for name, value in wide.state_dict().items() if name not in state}
    wide.load_state_dict(state | own)


@torch.no_grad()
def grow_head(fixer: Fixer, head: PixelHead) -> None:
    """Gives `head` the weights of a trained `fixer` with one view less: the fixer's render is the head's first view.

    What is read of the decoded clip has no weight yet, and the clip is copied exp(CLIP_LOGIT) times as much as the
    render; the gate is open. Up to that the head makes the fixer's frames.
    """
    config, cell = fixer.config, fixer.config.unshuffle**2
    state = dict(fixer.state_dict())
    for name in IN:
        render, views, trust, maps = _inputs(state[name], config.num_views, cell)
        state[name] = _joined(torch.zeros_like(render), render, views, torch.zeros_like(trust[:, :1]), trust, maps)
    for name in OUT:
        logits, residual, slides = _outputs(state[name], config.num_views, cell)
        none, is_bias = torch.zeros_like(residual[:1]), name == OUT[1]
        still = none.expand(AXES if config.slide_px else 0, *none.shape[1:])
        parts = [logits[:1] + CLIP_LOGIT * is_bias, logits, residual, still, slides, none + float(is_bias)]
        state[name] = rearrange(torch.cat(parts), "c cell ... -> (c cell) ...")
    own = {name: value for name, value in head.state_dict().items() if name not in state}
    head.load_state_dict(state | own)


def _inputs(weight: Float[Tensor, "out c k k2"], num_views: int, cell: int) -> tuple[Tensor, ...]:
    """What is read of the render's colours, of those of the views, of their trust and of the maps (`PixelFixer`), each
    [out, channels, cell, k, k2]."""
    parts = rearrange(weight, "out (c cell) k l -> out c cell k l", cell=cell)
    return parts.split([COLORS, COLORS * num_views, num_views, NUM_MAPS], dim=1)


def _joined(*parts: Tensor) -> Float[Tensor, "out c2 k k2"]:
    return rearrange(torch.cat(parts, dim=1), "out c cell k l -> out (c cell) k l")


def _outputs(values: Tensor, num_views: int, cell: int) -> tuple[Tensor, ...]:
    """Weights or biases [c, *k] of the logits, the residual and the slides, each [channels, cell, *k]."""
    parts = rearrange(values, "(c cell) ... -> c cell ...", cell=cell)
    counts = [1 + num_views, COLORS]
    return parts.split([*counts, len(parts) - sum(counts)])
