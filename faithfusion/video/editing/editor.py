"""Editors take the render of a clip with its EIG and return the clip to be shown and distilled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from faithfusion.types import Window
from faithfusion.video.editing.editor_config import CompositeConfig


@dataclass(frozen=True)
class EditedClip:
    """The clip that an editor made, colours in [0, 1]. `frames` = (1 - gain) render + gain edit."""

    frames: Float[Tensor, "t h w 3"]  # the finished clip: the render where it is known, the edit where it is not
    edit: Float[Tensor, "t h w 3"]  # the editor's own content everywhere
    gain: Float[Tensor, "t h w"]  # Kalman gain of the edit
    sq_error: Float[Tensor, "t h w"]  # expected squared error of `frames`, per channel


@runtime_checkable
class Editor(Protocol):
    """Anything that improves a rendered clip of any length and size."""

    def edit(self, window: Window) -> EditedClip:
        """The finished clip, the editor's own content and its weight."""
        ...


@dataclass(frozen=True)
class ClipFacts:
    """What is known of the clips of a run before they are rendered: their length, and how many recorded views are
    warped into each frame."""

    num_frames: int
    num_views: int


@runtime_checkable
class OpenedEditor(Protocol):
    """An editor whose weights are read and lie on the device where it works."""

    @property
    def identity(self) -> str:
        """What tells these weights and options from all others."""
        ...

    @property
    def weights_key(self) -> str:
        """What tells these weights from all others, whatever the options."""
        ...

    def check(self, clip: ClipFacts) -> None:
        """Raises InputError for clips or options with which this editor cannot work."""
        ...

    def editor(self, fusing: CompositeConfig, seed: int = 0, before: Sequence[str] = ()) -> Editor:
        """The editor itself; it may be asked for more than once. `fusing`: where it has to leave the render; `seed`:
        of everything that it leaves to chance; `before`: the `weights_key` of the editors that work before it in a
        chain, in their order, whose finished frames it will get in place of renders."""
        ...


@runtime_checkable
class EditorOptions(Protocol):
    """The options of one kind of editor: a dataclass, whose fields are the keys of its entry in a configuration."""

    def open(self, device: str) -> OpenedEditor:
        """Reads the weights onto the device. Raises InputError for those that are missing or do not fit."""
        ...
