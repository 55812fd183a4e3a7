"""The error profiles of an editor in the header of its weights file: on renders, and behind other editors.

An editor that works behind others gets finished frames with the error that is left in them. It makes other errors of
those than of renders, so its profile is measured behind these editors, too (`tools/measure_editors.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from faithfusion.utils.plain import to_plain
from faithfusion.utils.progress import say
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.weights.stored import PROFILE_FIELDS, read_strictly, rewrite_header

BEHIND = "profiles_behind"
"""The entry of the header with the profiles behind other editors, by `key_of_chain`."""


@dataclass(frozen=True)
class Profiles:
    """The profile on renders, and those behind other editors by what tells their weights from all others."""

    on_renders: ErrorProfile
    behind: Mapping[str, ErrorProfile]

    def of(self, before: Sequence[str], name: str) -> ErrorProfile:
        """Returns the profile behind editors with the weights `before` (`weights_key`), in their order; none for the
        first editor. If that was not measured, a line says so, and the profile on renders is taken. `name`: the editor
        in that line."""
        if not before:
            return self.on_renders
        key = key_of_chain(before)
        if key not in self.behind:
            say(f"{name}: its error behind these editors was not measured (tools/measure_editors.py): as on renders")
        return self.behind.get(key, self.on_renders)


def weights_key(path: Path) -> str:
    """Returns what tells the tensors of a safetensors file from all others, whatever its header says."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")  # the length of the header stands before it
    return hashlib.sha256(data[start:]).hexdigest()[:16]


def key_of_chain(weights: Sequence[str]) -> str:
    """Returns the name of a profile behind editors with these weights."""
    return "+".join(weights)


def read_profiles(path: Path, on_renders: ErrorProfile) -> Profiles:
    """Reads the profiles behind other editors from the header of an intact weights file."""
    stored = _stored_behind(path)
    behind = {
        key: read_strictly(ErrorProfile, json.dumps(plain), path, PROFILE_FIELDS) for key, plain in stored.items()
    }
    return Profiles(on_renders, behind)


def _stored_behind(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {}).get(BEHIND, "{}"))


def store_profile(path: Path, profile: ErrorProfile, before: Sequence[str]) -> None:
    """Writes a profile into the header of a weights file: that behind the editors with the weights `before`, or on
    renders if there are none. All else stays as it is."""
    if not before:
        rewrite_header(path, {"profile": to_plain(profile)})
        return
    behind = _stored_behind(path) | {key_of_chain(before): to_plain(profile)}
    rewrite_header(path, {BEHIND: dict(sorted(behind.items()))})
