"""Whether a finished run and all that it was made from are still what they were, without reading any of it.

As version control does, a file counts as unchanged while its size and its time of modification in nanoseconds are the
same. What was made is noted in one file, the last that a run writes.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.plain import config_hash, to_plain

FINISHED = "finished.json"


def inputs_key(config: Any) -> str:
    """Changes with the configuration, with every file that it names, also inside YAML files and folders, and with every
    file of this package."""
    named = sorted({str(path) for path in _named_paths(to_plain(config))})
    package = Path(__file__).parents[1]
    return config_hash(config, *(_stamps(Path(path)) for path in named), _stamps(package))


def note_finished(out: Path, inputs: str) -> None:
    """Notes that `out` holds what was made from inputs of this key."""
    with atomic_file(out / FINISHED) as temporary:
        temporary.write_text(json.dumps({"inputs": inputs, "outputs": config_hash(_stamps(out))}))


def is_finished(out: Path, config: Any) -> bool:
    """Whether `out` holds what was made with this configuration, and neither its inputs nor a file in it has changed
    since."""
    try:
        noted = json.loads((out / FINISHED).read_text())
    except (OSError, ValueError):
        return False
    return noted == {"inputs": inputs_key(config), "outputs": config_hash(_stamps(out))}


def _named_paths(value: Any) -> Iterator[Path]:
    """Every text in plain values that is the name of something on disk; "file.py:Class" names the file."""
    if isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _named_paths(part)
        return
    name = value.partition(":")[0] if isinstance(value, str) else ""
    if name and os.path.exists(name):
        yield Path(name)
        if name.endswith((".yaml", ".yml")):
            with contextlib.suppress(yaml.YAMLError):  # who reads it says what is wrong
                yield from _named_paths(yaml.safe_load(Path(name).read_text()))


def _stamps(path: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of modification of a file, or of all files in a folder but the note itself."""
    if not path.is_dir():
        return [_stamp(path)]
    folders = (entry for entry in os.walk(path, followlinks=True) if not entry[0].endswith("__pycache__"))
    return sorted(_stamp(Path(folder) / name) for folder, _, names in folders for name in names if name != FINISHED)


def _stamp(path: Path) -> tuple[str, int, int]:
    status = path.stat() if path.exists() else path.lstat()
    return str(path), status.st_size, status.st_mtime_ns
