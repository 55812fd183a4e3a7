"""The fixer as an editor, then the same composite with the Kalman gain as the video model's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.types import Window
from faithfusion.video.editing.composite import ErrorProfile, composite, faithful_floor, fused_error, kalman_gain
from faithfusion.video.editing.editor import EditedClip
from faithfusion.video.editing.editor_config import DEFAULT_COMPOSITE, CompositeConfig, FixerEditorConfig

if TYPE_CHECKING:  # it imports diffusers, which takes seconds
    from faithfusion.video.model.fixers.fixer import Fixer


class FixerEditor:
    """A fixer with its measured error profile. Frames see each other as far as the fixer's `reach`. `fusing`: where the
    render is left as it is."""

    def __init__(
        self,
        fixer: Fixer,
        config: FixerEditorConfig,
        profile: ErrorProfile,
        fusing: CompositeConfig = DEFAULT_COMPOSITE,
    ) -> None:
        self.fixer, self.config, self.profile, self.fusing = fixer, config, profile, fusing

    def edit(self, window: Window) -> EditedClip:
        """See `Editor.edit`; any length and size. Known frames and the best known pixels are the render's own values.

        Raises InputError if the parts of the window differ in size.
        """
        edit, error = self.generate(window), window.eig.expected_sq_error
        gain = kalman_gain(error, self.profile, faithful_floor(error, self.fusing))
        gain = torch.where(window.known[:, None, None], 0.0, gain)
        left = fused_error(error, self.profile, gain)
        return EditedClip(composite(window.render, edit, gain), edit, gain, left)

    @torch.no_grad()
    def generate(self, window: Window) -> Float[Tensor, "t h w 3"]:
        """The fixer's own frames, before the composite; known frames are the render's. The error profile is measured
        on these frames."""
        from faithfusion.video.model.fixers.fixer import fix_frames, fixer_inputs

        inputs = fixer_inputs(window, self.fixer.config.num_references)
        edit, frames = window.render.clone(), (~window.known).nonzero()[:, 0]
        edit[frames] = fix_frames(self.fixer, inputs, frames, self.config.frames_at_once).to(edit)
        return edit
