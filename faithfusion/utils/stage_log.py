"""Finished stages of a run in `state.json`: a killed run continues, a changed config redoes what it touches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.plain import config_hash
from faithfusion.utils.progress import say

STATE = "state.json"


class StageLog:
    """The stages a run folder has finished. A stage's key covers its own inputs and the key of the stage before it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / STATE
        self._done: dict[str, dict[str, Any]] = json.loads(self._path.read_text()) if self._path.is_file() else {}
        self._previous = ""

    @property
    def key(self) -> str:
        """What tells the stage that runs now, or ran last, with its inputs from all others."""
        return self._previous

    @property
    def seconds(self) -> dict[str, float]:
        """Time every finished stage took, also if that was in an earlier run."""
        return {name: entry["seconds"] for name, entry in self._done.items()}

    def run(self, name: str, depends_on: Any, outputs: Sequence[Path], work: Callable[[], None]) -> bool:
        """Runs `work` unless `name` was finished with the same inputs and its `outputs` exist. True if it ran."""
        key = config_hash(self._previous, depends_on)
        self._previous = key
        if self._done.get(name, {}).get("key") == key and all(path.exists() for path in outputs):
            say(f"{name}: done before, resumed")
            return False
        if self._done.pop(name, None) is not None:
            self._save()
        start_s = time.monotonic()
        work()
        self._done[name] = {"key": key, "seconds": round(time.monotonic() - start_s, 2)}
        self._save()
        return True

    def _save(self) -> None:
        with atomic_file(self._path) as temporary:
            temporary.write_text(json.dumps(self._done, indent=1))
