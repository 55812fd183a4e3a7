"""An editor from the user's own Python file, named by its import path in `kind`.

    {kind: my_package.my_file:MyEditor, strength: 0.5}      {kind: path/to/my_file.py:MyEditor, strength: 0.5}

A dataclass with a method `edit` (`editing.editor.Editor`) is enough; its fields are the options of the entry, and a
field `steady` says over how many frames before and after its edit is averaged. One with a method `open` is opened as
ours are (`editing.editor.EditorOptions`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.utils.import_path import imported
from faithfusion.utils.plain import config_hash
from faithfusion.video.editing.editor import ClipFacts, EditedClip, Editor
from faithfusion.video.editing.editor_config import CompositeConfig

EXPECTED = "package.module:Class or path/to/file.py:Class, of a dataclass with a method `edit`"


@dataclass(frozen=True)
class OwnEditor:
    """An editor of the user, which works with any clip."""

    own: Editor

    @property
    def identity(self) -> str:
        """What tells its options and the source of its file from all others."""
        source = Path(inspect.getfile(type(self.own))).read_bytes()
        return config_hash(type(self.own).__qualname__, self.own, hashlib.sha256(source).hexdigest())

    def check(self, clip: ClipFacts) -> None:
        """Asks nothing: the user's own editor answers for itself."""

    @property
    def weights_key(self) -> str:
        """What tells it from all others."""
        return self.identity

    def editor(self, fusing: CompositeConfig, seed: int = 0, before: Sequence[str] = ()) -> Editor:
        """Returns the editor, which decides its gain itself; what it returns is checked."""
        return _CheckedEditor(self.own)


@dataclass(frozen=True)
class _CheckedEditor:
    """An editor whose result must have the shapes of the clip and values that mean something."""

    own: Editor

    def edit(self, window: Window) -> EditedClip:
        """See `Editor.edit`. Raises InputError for a result that is no edited clip of this window."""
        edited, where = self.own.edit(window), f"editors, {type(self.own).__name__}"
        if not isinstance(edited, EditedClip):
            raise InputError(where, f"edit returned {type(edited).__name__}", "an EditedClip")
        clip = tuple(window.render.shape)
        for name, value in vars(edited).items():
            wanted = clip if name in ("frames", "edit") else clip[:3]
            if tuple(value.shape) != wanted:
                raise InputError(where, f"{name} of shape {tuple(value.shape)}", f"{wanted}")
            if not bool(torch.isfinite(value).all()):
                raise InputError(where, f"{name} with NaN or infinite values", "finite numbers")
        return edited


def own_class(kind: str) -> type:
    """Returns the class that an import path leads to. Raises InputError if there is none, or one that is no editor."""
    found = imported(kind, "editors.kind", EXPECTED)
    is_editor = inspect.isclass(found) and dataclasses.is_dataclass(found)
    if not is_editor or not (hasattr(found, "edit") or hasattr(found, "open")):
        raise InputError("editors.kind", f"{kind} is no editor", EXPECTED)
    return found
