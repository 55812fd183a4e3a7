"""The editors of a run by kind: what `editors` of a configuration names, opened and put one after another."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from faithfusion.config import from_plain
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import config_hash, to_plain
from faithfusion.video.editing.chain import ChainEditor
from faithfusion.video.editing.editor import ClipFacts, Editor, OpenedEditor
from faithfusion.video.editing.editor_config import CompositeConfig, EditorEntry
from faithfusion.video.editing.steady import SteadyEditor
from faithfusion.video.editors.kinds import EDITORS
from faithfusion.video.editors.own import OwnEditor, own_class


@dataclass(frozen=True)
class OpenedEditors:
    """The editors of a run, in their order, and over how many frames before and after each edit is averaged."""

    parts: tuple[OpenedEditor, ...]
    steady: tuple[int, ...]

    @property
    def identity(self) -> str:
        """What tells these weights and options from all others."""
        return config_hash(*(part.identity for part in self.parts))

    def check(self, clip: ClipFacts) -> None:
        """Raises InputError for clips or options with which one of the editors cannot work."""
        for part in self.parts:
            part.check(clip)

    def editor(self, fusing: CompositeConfig, seed: int = 0) -> ChainEditor:
        """Returns all of them as one editor, which keeps the render where it is known best."""
        return ChainEditor(self.each(fusing, seed), fusing.faithful_share)

    def each(self, fusing: CompositeConfig, seed: int = 0) -> list[Editor]:
        """Returns them one by one, each for what those before it leave."""
        keys = [part.weights_key for part in self.parts]
        parts = enumerate(zip(self.parts, self.steady, strict=True))
        return [_steadied(part.editor(fusing, seed, keys[:place]), n) for place, (part, n) in parts]


def open_editors(entries: Sequence[EditorEntry], device: str) -> OpenedEditors:
    """Opens the editors of one run on the device. Raises InputError for a kind, an option or weights that do not
    exist or do not fit."""
    return open_each({"": entries}, device)[""]


def open_each(chains: Mapping[str, Sequence[EditorEntry]], device: str) -> dict[str, OpenedEditors]:
    """Opens several chains of editors by name; an entry that occurs in more than one is opened once."""
    opened: dict[str, tuple[OpenedEditor, int]] = {}
    for entry in (entry for entries in chains.values() for entry in entries):
        if _key(entry) not in opened:
            opened[_key(entry)] = _opened(entry, device)
    return {
        name: OpenedEditors(*zip(*(opened[_key(entry)] for entry in entries), strict=True))
        for name, entries in chains.items()
    }


def options_of(entry: EditorEntry) -> Any:
    """Returns the options of an entry as its kind's class, with the defaults filled in. Raises InputError for a kind
    that does not exist and for options that it does not have."""
    kind = entry["kind"]
    if kind not in EDITORS and ":" not in kind:
        raise InputError("editors.kind", kind, f"one of {', '.join(EDITORS)}, or the import path of your own editor")
    chosen = EDITORS[kind] if kind in EDITORS else own_class(kind)
    return from_plain(chosen, {key: value for key, value in entry.items() if key != "kind"}, f"editors, {kind}")


def with_defaults(entry: EditorEntry) -> EditorEntry:
    """Returns the entry with all options of its kind, as plain values, so that it says the same when a
    default changes."""
    return entry | to_plain(options_of(entry))


def _opened(entry: EditorEntry, device: str) -> tuple[OpenedEditor, int]:
    options = options_of(entry)
    if hasattr(options, "open"):
        return options.open(device), getattr(options, "steady", 0)
    return OwnEditor(options), getattr(options, "steady", 0)


def _key(entry: EditorEntry) -> str:
    return json.dumps(entry, sort_keys=True, default=str)


def _steadied(editor: Editor, num_neighbours: int) -> Editor:
    return SteadyEditor(editor, num_neighbours) if num_neighbours else editor
