"""A small fixer becomes one that reads more views, lets them slide, or sees other frames, without a new result."""

from __future__ import annotations

import dataclasses

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from faithfusion.video.model.fixers.fixer import Fixer
from faithfusion.video.model.fixers.fixer_config import FixerConfig
from faithfusion.video.model.fixers.pixels import COLORS, NUM_MAPS, PixelFixer

IN, OUT = ("network.conv_in.weight",), ("network.conv_out.weight", "network.conv_out.bias")


def can_widen(found: FixerConfig, wanted: FixerConfig) -> bool:
    """Whether two architectures differ in nothing but more views, the beginning of attention between frames and that of
    views that slide."""
    new = {"num_views": wanted.num_views, "reach": wanted.reach, "slide_px": wanted.slide_px}
    alike = dataclasses.replace(found, **new) == wanted
    grows = found.num_views <= wanted.num_views and found.reach in (0, wanted.reach)
    grows = grows and (
        found.slide_px == 0.0 or (found.slide_px, found.num_views) == (wanted.slide_px, wanted.num_views)
    )
    return alike and grows and found.sd_turbo is None and found.num_views > 0


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
        state[name] = _insert_inputs(state[name], config.num_views, more, cell)
    for name in OUT:
        parts = rearrange(state[name], "(c cell) ... -> c cell ...", cell=cell)
        last = parts[config.num_views : config.num_views + 1]  # after the render's come the logits of the views
        parts = torch.cat([parts[: 1 + config.num_views], *[last] * more, parts[1 + config.num_views :]])
        slides = wide.state_dict()[name].shape[0] // cell - len(parts)
        parts = torch.cat([parts, torch.zeros_like(parts[:1]).expand(slides, *parts.shape[1:])])
        state[name] = rearrange(parts, "c cell ... -> (c cell) ...")
    own = {name: value for name, value in wide.state_dict().items() if name not in state}
    wide.load_state_dict(state | own)


def _insert_inputs(
    weight: Float[Tensor, "out c k k2"], num_views: int, more: int, cell: int
) -> Float[Tensor, "out c2 k k2"]:
    """Zero weights for the colours and the trust of `more` views: channels are the render's colours, those of the
    views, their trust and maps (`PixelFixer`), each in all pixels of a cell."""
    parts = rearrange(weight, "out (c cell) k l -> out c cell k l", cell=cell)
    render, views, trust, maps = parts.split([COLORS, COLORS * num_views, num_views, NUM_MAPS], dim=1)
    wider = [render, views, torch.zeros_like(render).repeat(1, more, 1, 1, 1)]
    wider += [trust, torch.zeros_like(trust[:, :1]).repeat(1, more, 1, 1, 1), maps]
    return rearrange(torch.cat(wider, dim=1), "out c cell k l -> out (c cell) k l")
