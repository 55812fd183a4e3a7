"""An editor from the user's own Python file, named by its import path in `kind`.

    {kind: my_package.my_file:MyEditor, strength: 0.5}      {kind: path/to/my_file.py:MyEditor, strength: 0.5}

A dataclass with a method `edit` (`editing.editor.Editor`) is enough; its fields are the options of the entry, and a
field `steady` says over how many frames before and after its edit is averaged. One with a method `open` is opened as
ours are (`editing.editor.EditorOptions`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from faithfusion.config import config_hash
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor import ClipFacts, Editor
from faithfusion.video.editing.editor_config import CompositeConfig

EXPECTED = "package.module:Class or path/to/file.py:Class, of a dataclass with a method `edit`"


@dataclass(frozen=True)
class OwnEditor:
    """An editor of the user as an opened one: it works with any clip."""

    own: Editor

    @property
    def identity(self) -> str:
        """Of its options and of the source of its file."""
        source = Path(inspect.getfile(type(self.own))).read_bytes()
        return config_hash(type(self.own).__qualname__, self.own, hashlib.sha256(source).hexdigest())

    def check(self, clip: ClipFacts) -> None:
        """The user's own editor is not asked anything."""

    def editor(self, fusing: CompositeConfig) -> Editor:
        """The editor as it is: it decides itself where it leaves the render."""
        return self.own


def own_class(kind: str) -> type:
    """The class that an import path leads to. Raises InputError if there is none, or one that is no editor."""
    place, colon, name = kind.rpartition(":")
    if not (colon and place and name):
        raise InputError("editors.kind", kind, EXPECTED)
    found = getattr(_module(place, kind), name, None)
    is_editor = inspect.isclass(found) and dataclasses.is_dataclass(found)
    if not is_editor or not (hasattr(found, "edit") or hasattr(found, "open")):
        raise InputError("editors.kind", f"{kind}: {'no such class' if found is None else 'no editor'}", EXPECTED)
    return found


def _module(place: str, kind: str) -> ModuleType:
    try:
        return _module_of_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:  # whatever the user's file does when it is imported
        line = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError("editors.kind", f"{kind} cannot be imported ({line})", EXPECTED) from error


def _module_of_file(path: Path) -> ModuleType:
    """The file as a module of a name that no other has; dataclasses and their annotations look it up there."""
    name = f"faithfusion_own_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    if not path.is_file():
        raise FileNotFoundError("no such file")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
