"""Finished stages of a run in `state.json`: a killed run continues, a changed config redoes what it touches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faithfusion.config import config_hash
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.progress import say


class StageLog:
    """The stages a run folder has finished, each with the hash of everything it depended on."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "state.json"
        self._stages: dict[str, str] = json.loads(self._path.read_text()) if self._path.is_file() else {}

    def run(self, name: str, depends_on: Any, outputs: list[Path], work: Callable[[], None]) -> bool:
        """Runs `work` unless `name` was finished with the same `depends_on` and its `outputs` exist. True if it ran."""
        key = config_hash(depends_on)
        if self._stages.get(name) == key and all(path.exists() for path in outputs):
            say(f"{name}: already done, resumed")
            return False
        self._forget(name)
        work()
        self._stages[name] = key
        self._save()
        return True

    def _forget(self, name: str) -> None:
        if self._stages.pop(name, None) is not None:
            self._save()

    def _save(self) -> None:
        with atomic_file(self._path) as temporary:
            temporary.write_text(json.dumps(self._stages, indent=1))
