"""The video model (Wan2.1 with the branch that reads EIG) as an editor of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import config_hash
from faithfusion.video.editing.editor_config import CompositeConfig, VideoEditorConfig, require_neighbours

if TYPE_CHECKING:  # torch and diffusers take seconds, and a page of help wants the options only
    from faithfusion.video.editing.editor import ClipFacts
    from faithfusion.video.editing.video_editor import VideoEditor
    from faithfusion.video.weights.open_generator import OpenedGenerator


@dataclass(frozen=True)
class WanOptions(VideoEditorConfig):
    """The options of an entry `kind: wan`, beside those of `VideoEditorConfig`.

    Attributes:
        weights: A generator file of a training run, "wan-tiny" for the one that is shipped, or a YAML file that names
            public weights (configs/generator).
        public: The folder, file or hub id of the public weights below a generator file, if they do not lie where they
            lay in training.
        steady: The edit of a surface is averaged over so many frames before and after (`video.editing.steady`); 0
            averages nothing.
    """

    weights: str = "wan-tiny"
    public: str = ""
    steady: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        require_neighbours(self.steady)

    def open(self, device: str) -> OpenedWan:
        """Reads the weights onto the device. Raises InputError for a missing or foreign file."""
        from faithfusion.video.model.memory import apply_memory
        from faithfusion.video.weights.open_generator import open_generator

        opened = open_generator(self.weights, self.public)
        apply_memory(opened.generator, self.memory, device)
        return OpenedWan(self, opened)


@dataclass(frozen=True)
class OpenedWan:
    """A generator on its device."""

    options: WanOptions
    opened: OpenedGenerator

    @property
    def identity(self) -> str:
        """What tells these weights and options from all others, wherever the weights lie."""
        return config_hash(self.opened.identity, dataclasses.replace(self.options, weights="", public=""))

    def check(self, clip: ClipFacts) -> None:
        """Raises InputError for too short a clip, too few warped views, and a sampler that these weights forbid."""
        from faithfusion.video.editing.sample import check_sampler

        options, generator = self.options, self.opened.generator
        if options.window_frames > clip.num_frames:
            expected = f"at most the clip's {clip.num_frames} frames"
            raise InputError("editor.window_frames", options.window_frames, expected)
        wanted = generator.config.branch.warped
        if clip.num_views < wanted:
            raise InputError("warp.num_views", clip.num_views, f"at least {wanted}: so many does the video model read")
        check_sampler(generator, self.opened.sampler_for(options.sampler))

    @property
    def weights_key(self) -> str:
        """What tells the weights from all others, whatever the options."""
        return self.opened.weights_key

    def editor(self, fusing: CompositeConfig, seed: int = 0, before: Sequence[str] = ()) -> VideoEditor:
        """Returns the video editor with the error profile measured behind the editors `before`. Weights bring their own
        sampler, unless one is configured."""
        from faithfusion.video.editing.video_editor import VideoEditor

        config = dataclasses.replace(self.options, sampler=self.opened.sampler_for(self.options.sampler))
        profile = self.opened.profiles.of(before, "wan")
        return VideoEditor(self.opened.generator, config, profile, fusing, seed)
