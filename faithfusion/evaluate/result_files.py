"""Files of benchmarks: results, claims of what one process makes, settings that must stay the same."""

from __future__ import annotations

import fcntl
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import config_hash

SETTINGS = "settings.json"


def write_json(path: Path, values: Any) -> None:
    """Writes JSON, whole or not at all; numbers that are not finite become null."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(_plain(values), indent=1, sort_keys=True) + "\n")


def _plain(values: Any) -> Any:
    if isinstance(values, dict):
        return {str(key): _plain(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_plain(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def read_json(path: Path) -> Any:
    """Reads a JSON file. Raises InputError if it is damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read ({error})", "a file of results") from None


def require_same_settings(out: Path, settings: dict[str, Any]) -> str:
    """Writes the settings into a new folder and returns their hash. Raises InputError if the folder holds other
    settings."""
    path = out / SETTINGS
    if not path.is_file():
        write_json(path, settings)
    kept = read_json(path)
    difference = first_difference(kept, _plain(settings))
    if difference:
        raise InputError(out, f"holds results of other settings ({difference})", "a new folder, or the same options")
    return config_hash(settings)


def first_difference(old: Any, new: Any, where: str = "") -> str:
    """Returns the first key in which two nested plain values differ, with both values; empty if they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            found = first_difference(old.get(key), new.get(key), f"{where}.{key}" if where else key)
            if found:
                return found
        return ""
    return "" if old == new else f"{where}: {old}, asked for {new}"


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Yields True to the one process that holds `path`, False to all others. The operating system lets go of it when a
    process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
