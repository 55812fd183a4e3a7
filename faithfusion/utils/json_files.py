"""Reads JSON files that a user gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from faithfusion.utils.errors import InputError


def read_json(path: Path, expected: str = "a JSON file") -> Any:
    """Content of a JSON file, with or without a byte-order mark. InputError, with what was `expected`, if it is missing
    or damaged."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(path, "no such file", expected) from None
    except (ValueError, OSError) as error:
        raise InputError(path, f"cannot be read ({' '.join(str(error).split())[:120]})", expected) from None
