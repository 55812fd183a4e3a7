"""How the running command was called, for usage lines and reports."""

from __future__ import annotations

import sys
from pathlib import Path


def program() -> str:
    """The command as it was called, without its options: "python tools/view.py" or "faithfusion view"."""
    return " ".join(_called()[0])


def command_line() -> str:
    """The command with its options as it was called, for reports."""
    name, options = _called()
    return " ".join([*name, *options])


def _called() -> tuple[list[str], list[str]]:
    path, options = Path(sys.argv[0]), sys.argv[1:]
    if path.suffix == ".py" and path.name != "__main__.py":
        return ["python", sys.argv[0]], options
    return ["faithfusion", *options[:1]], options[1:]
