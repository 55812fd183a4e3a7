"""What an import path names: `package.module:name`, or `path/to/file.py:name` for a file that is installed nowhere."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from faithfusion.utils.errors import InputError


def imported(import_path: str, where: str, expected: str) -> Any:
    """The object of that name. Raises InputError, with `where` and `expected`, if there is none or its module cannot be
    imported, whatever goes wrong in it."""
    place, _, name = import_path.rpartition(":")
    if not (place and name):
        raise InputError(where, import_path, expected)
    try:
        module = _module_of_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(where, f"{import_path} cannot be imported ({line})", expected) from error
    if not hasattr(module, name):
        raise InputError(where, f"{import_path}: no such name", expected)
    return getattr(module, name)


def _module_of_file(path: Path) -> ModuleType:
    """The file as a module of a name that no other has; dataclasses and their annotations look it up there."""
    name = f"faithfusion_own_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError("no such file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
