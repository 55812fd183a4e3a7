"""Configurations as plain values, and their hash: what is stored beside results and tells whether they still hold."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any


def to_plain(config: Any) -> Any:
    """A dataclass as nested dicts, lists and strings, fit for YAML and JSON."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {field.name: to_plain(getattr(config, field.name)) for field in dataclasses.fields(config)}
    if isinstance(config, dict):
        return {str(key): to_plain(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [to_plain(value) for value in config]
    return str(config) if isinstance(config, Path) else config


def config_hash(*parts: Any) -> str:
    """Short, stable hash of configurations and other plain values."""
    text = json.dumps([to_plain(part) for part in parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
