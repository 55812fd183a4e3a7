"""Modules that only some commands need are extras of the package; whoever needs one says how to install it."""

from __future__ import annotations

from importlib.util import find_spec

from faithfusion.utils.errors import InputError


def require_extra(extra: str, *modules: str) -> None:
    """Raises InputError with the remedy, in one line, if one of the modules of an extra is not installed."""
    for module in modules:
        if find_spec(module) is None:
            raise InputError(module, "not installed", f'pip install "faithfusion[{extra}]"')
