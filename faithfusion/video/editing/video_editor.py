"""The video model as an editor: windows are generated one after another and fused with the render."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.clips.windows import nearest_references, pad_window, plan_windows, slice_window
from faithfusion.types import Window
from faithfusion.utils.seed import make_generator
from faithfusion.video.editing.composite import ErrorProfile, composite, faithful_floor, fused_error, kalman_gain
from faithfusion.video.editing.editor import EditedClip
from faithfusion.video.editing.editor_config import DEFAULT_COMPOSITE, CompositeConfig, VideoEditorConfig
from faithfusion.video.editing.sample import sample
from faithfusion.video.model.memory import at_work

if TYPE_CHECKING:  # the model imports diffusers, which takes seconds
    from faithfusion.video.model.generator import Generator


class VideoEditor:
    """The generator as an editor, with its measured error profile. `fusing`: where the render is left as it is; `seed`:
    of the noise."""

    def __init__(
        self,
        generator: Generator,
        config: VideoEditorConfig,
        profile: ErrorProfile,
        fusing: CompositeConfig = DEFAULT_COMPOSITE,
        seed: int = 0,
    ) -> None:
        self.generator, self.config, self.profile, self.fusing = generator, config, profile, fusing
        self.seed = seed

    def edit(self, window: Window) -> EditedClip:
        """See `Editor.edit`. Known frames and the best known pixels are the render's own values.

        Frames that two windows share are made by the first and enter the next as exact history, which stays as it is.
        """
        frames, height, width = window.render.shape[:3]
        floor = faithful_floor(window.eig.expected_sq_error, self.fusing)
        spec = self.generator.config.spec
        padded = pad_window(window, spec.token_pixels, spec.chunk_frames)
        gain = kalman_gain(padded.eig.expected_sq_error, self.profile, floor)
        gain = torch.where(padded.known[:, None, None], 0.0, gain)
        result, content = padded.render.clone(), padded.render.clone()
        done = 0
        sizes = (self.config.window_frames, self.config.overlap_frames, spec.chunk_frames)
        for span in plan_windows(padded.render.shape[0], *sizes):
            piece = nearest_references(slice_window(padded, span), self.config.num_references)
            piece = _with_history(piece, result[span.start : done])
            new = slice(done, span.stop)
            content[new] = self.generate(piece, name=str(span.start))[done - span.start :]
            result[new] = composite(padded.render[new], content[new], gain[new])
            done = span.stop
        error = fused_error(padded.eig.expected_sq_error, self.profile, gain)
        return EditedClip(*(values[:frames, :height, :width] for values in (result, content, gain, error)))

    def generate(self, window: Window, name: str = "0") -> Float[Tensor, "t h w 3"]:
        """The generator's own frames for one window (a whole number of tokens), before the composite.

        `name` names the noise's random stream. The error profile is measured on these frames.
        """
        decoded, head = self.decoded(window, name), self.generator.head
        return decoded if head is None else head.finish(window, decoded)

    def decoded(self, window: Window, name: str = "0") -> Float[Tensor, "t h w 3"]:
        """The same before the generator's head. A head takes the place of `keep_detail`: it sees the sources itself."""
        from faithfusion.video.editing.detail import detail_sources, with_detail
        from faithfusion.video.editing.encode import latent_conditions, to_frames

        generator, sampler = self.generator, self.config.sampler
        place = (self.config.memory, generator.prompt.device)
        with torch.no_grad():
            with at_work(generator.codec, *place):
                conditions = latent_conditions(generator, [window])
            with at_work(generator.backbone, *place), at_work(generator.branch, *place):
                latents = sample(generator, conditions, sampler, make_generator(self.seed, "noise", name))
            with at_work(generator.codec, *place):
                edit = to_frames(generator.codec.decode(latents))[0].to(window.render)
                if self.config.keep_detail and generator.head is None:
                    edit = with_detail(edit, detail_sources(generator, window, conditions))
        return edit.clamp(0.0, 1.0)


def _with_history(piece: Window, history: Float[Tensor, "o h w 3"]) -> Window:
    """The window with its first frames replaced by the finished frames of the previous one, marked as known."""
    overlap = history.shape[0]
    known = piece.known.clone()
    known[:overlap] = True
    return dataclasses.replace(piece, render=torch.cat([history, piece.render[overlap:]]), known=known)
