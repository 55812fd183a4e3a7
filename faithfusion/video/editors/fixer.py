"""The single-image fixer as an editor of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faithfusion.utils.plain import config_hash
from faithfusion.video.editing.editor_config import CompositeConfig, FixerEditorConfig, require_neighbours

if TYPE_CHECKING:  # torch and diffusers take seconds, and a page of help wants the options only
    from faithfusion.video.editing.editor import ClipFacts
    from faithfusion.video.fixer.fixer_editor import FixerEditor
    from faithfusion.video.fixer.fixer_file import OpenedFixer


@dataclass(frozen=True)
class FixerOptions(FixerEditorConfig):
    """The options of an entry `kind: fixer`, beside those of `FixerEditorConfig`.

    Attributes:
        weights: A fixer file of a training run, or "fixer-tiny" for the one that is shipped.
        public: The folder or hub id of the public weights below a fixer file, if they do not lie where they lay in
            training.
        steady: The edit of a surface is averaged over so many frames before and after (`video.editing.steady`); 0
            averages nothing. The fixer's edit is sharper than the video model's and loses more by it.
    """

    weights: str = "fixer-tiny"
    public: str = ""
    steady: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_neighbours(self.steady)

    def open(self, device: str) -> OpenedFixerEditor:
        """Reads the weights onto the device. Raises InputError for a missing or foreign file."""
        from faithfusion.video.fixer.fixer_file import open_fixer

        opened = open_fixer(self.weights, self.public)
        opened.fixer.to(device)
        return OpenedFixerEditor(self, opened)


@dataclass(frozen=True)
class OpenedFixerEditor:
    """A fixer on its device."""

    options: FixerOptions
    opened: OpenedFixer

    @property
    def identity(self) -> str:
        """What tells these weights and options from all others, wherever the weights lie."""
        return config_hash(self.opened.identity, dataclasses.replace(self.options, weights="", public=""))

    def check(self, clip: ClipFacts) -> None:
        """Accepts any clip: frames do not see each other, and views that are missing count as without trust."""

    @property
    def weights_key(self) -> str:
        """What tells the weights from all others, whatever the options."""
        return self.opened.weights_key

    def editor(self, fusing: CompositeConfig, seed: int = 0, before: Sequence[str] = ()) -> FixerEditor:
        """Returns the fixer with the error profile measured behind the editors `before`. It leaves nothing to
        chance."""
        from faithfusion.video.fixer.fixer_editor import FixerEditor

        profile = self.opened.profiles.of(before, "fixer")
        return FixerEditor(self.opened.fixer, self.options, profile, fusing)
