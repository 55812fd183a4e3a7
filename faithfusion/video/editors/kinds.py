"""The kinds of editors with their options, light to import."""

from __future__ import annotations

import textwrap

import yaml

from faithfusion.utils.plain import to_plain
from faithfusion.video.editors.fixer import FixerOptions
from faithfusion.video.editors.vace import DiffsynthVaceOptions, DiffusersVaceOptions
from faithfusion.video.editors.wan import WanOptions

EDITORS: dict[str, type] = {
    "wan": WanOptions,
    "fixer": FixerOptions,
    "vace_diffusers": DiffusersVaceOptions,
    "vace_diffsynth": DiffsynthVaceOptions,
}
"""Kind to class of options (`editing.editor.EditorOptions`). A new editor is one file in this folder, which imports
torch where it works and not before, and a line here; one in another place is named by its import path (`own`)."""
PAGE_COLUMNS = 100


def kinds_help() -> str:
    """Returns the entry of each kind with all its options and their defaults, for a page of help."""
    entries = [{"kind": kind} | to_plain(options()) for kind, options in EDITORS.items()]
    texts = [yaml.safe_dump(e, sort_keys=False, default_flow_style=True, width=PAGE_COLUMNS) for e in entries]
    return "Entries of `editors` with all options of their kinds:\n\n" + textwrap.indent("".join(texts), "  ")
