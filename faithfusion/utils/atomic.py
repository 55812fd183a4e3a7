"""Writes that are whole or absent: a temporary name in the same folder, then a rename."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faithfusion.utils.errors import InputError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path with the same suffix; renamed to `path` on success, removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.chmod(0o644)  # safetensors writes files that only their owner can read
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder; it takes the place of `path` on success, is removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_writable(folder: Path) -> None:
    """Creates `folder`; InputError if it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write_test_{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(folder, error.strerror or error, "a folder that can be created and written to") from None


def require_same_facts(folder: Path, file_name: str, facts: dict[str, Any], kind: str, other: str) -> None:
    """Raises InputError unless `folder` was made with these facts: its JSON file holds them, perhaps among others.

    `kind` says what it should be ("finished street"), `other` what it is if the facts differ.
    """
    try:
        found = json.loads((folder / file_name).read_text())
        same = {key: found[key] for key in facts} == json.loads(json.dumps(facts))
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(folder, f"exists and is not a {kind}", "a new folder") from None
    if not same:
        raise InputError(folder, f"holds {other}", "a new folder, or the same options")
