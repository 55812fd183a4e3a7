"""The generator's head: mixing in pixels, after the codec.

A codec blurs even what the generator would only have to copy. The head is the small fixer's network (`pixels`) on the
decoded clip, with the render as one more view of full trust, and a gate:

    result = clip + gate (mixture of clip, render, warped views - clip) + residual

Gate and residual are 0 at step 0, so that the result is the decoded clip exactly; a head may start as a trained fixer
instead (`training.widen.grow_head`). The expected error that it reads is that of the render, as the generator's own.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.types import WarpedViews, Window
from faithfusion.video.model.config import ConditioningConfig, HeadConfig
from faithfusion.video.model.fixers.fixer import FixerInputs, fix_frames, fixer_inputs
from faithfusion.video.model.fixers.fixer_config import FixerConfig
from faithfusion.video.model.fixers.pixels import PixelFixer

FRAMES_AT_ONCE = 8
"""So many frames are evaluated at once, which bounds memory."""


class PixelHead(PixelFixer):
    """The network; `FixerInputs.render` is the decoded clip, the first view is the render (`with_clip`)."""

    def __init__(self, config: HeadConfig, conditioning: ConditioningConfig) -> None:
        sizes = dataclasses.replace(config, num_views=1 + config.num_views)
        super().__init__(FixerConfig(**vars(sizes), conditioning=conditioning), num_gates=1)

    def forward(self, inputs: FixerInputs) -> Float[Tensor, "b 3 h w"]:
        """The better frames, about in [0, 1] but not clamped; any size."""
        mixed, residual, gate = self.parts(inputs)
        return torch.lerp(inputs.render, mixed, gate) + residual

    def register_trained(self, owner: nn.Module) -> None:
        """Makes the head a submodule of `owner`, under the generator's own parameter names."""
        owner.head = self.requires_grad_(True)

    @torch.no_grad()
    def finish(self, window: Window, clip: Float[Tensor, "t h w 3"]) -> Float[Tensor, "t h w 3"]:
        """The finished frames of a window for which `clip` was decoded."""
        inputs = fixer_inputs(with_clip(window, clip))
        return fix_frames(self, inputs, torch.arange(len(clip)), FRAMES_AT_ONCE)


def with_clip(window: Window, clip: Float[Tensor, "t h w 3"]) -> Window:
    """The window as the head sees it: the decoded clip in place of the render, which becomes the first of the views.
    Known frames have no error, as for the generator (`conditioning.pool_eig`)."""
    colors, trust = window.render[None], torch.ones_like(window.render[None, ..., 0])
    if window.warped is not None:
        colors, trust = torch.cat([colors, window.warped.colors]), torch.cat([trust, window.warped.trust])
    error = torch.where(window.known[:, None, None], 0.0, window.eig.expected_sq_error)
    eig = dataclasses.replace(window.eig, expected_sq_error=error)
    return dataclasses.replace(window, render=clip, warped=WarpedViews(colors, trust), eig=eig)
