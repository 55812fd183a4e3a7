"""YAML and command line to frozen dataclasses; unknown keys, wrong types and bad choices are refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, Namespace

from faithfusion.utils.errors import InputError

T = TypeVar("T")


def parse_config(config_class: type[T], argv: list[str], *, description: str = "") -> T:
    """Reads `--config FILE.yaml` and `--key.sub value` options into a `config_class` (a frozen dataclass).

    Later options win. Raises InputError with the offending key, value and what was expected.
    """
    parser = ArgumentParser(description=description, exit_on_error=False)
    parser.add_argument(
        "--config", action=ActionConfigFile, help="YAML file with the options that differ from the defaults"
    )
    parser.add_class_arguments(config_class)
    try:
        values = parser.parse_args(argv)
    except (ArgumentError, ValueError, TypeError) as error:
        raise _input_error(error, argv) from None
    return _instantiate(parser, config_class, values)


def _instantiate(parser: ArgumentParser, config_class: type[T], values: Namespace) -> T:
    values.pop("config", None)
    try:
        fields = parser.instantiate_classes(values)
        return config_class(**{field.name: fields[field.name] for field in dataclasses.fields(config_class)})
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError("configuration", _one_line(error), "values that fit together") from None


def _input_error(error: Exception, argv: list[str]) -> InputError:
    return InputError("configuration " + " ".join(argv), _one_line(error), "known keys with valid values (see --help)")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]


def to_plain(config: Any) -> Any:
    """A dataclass as nested dicts, lists and strings, fit for YAML and JSON."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {field.name: to_plain(getattr(config, field.name)) for field in dataclasses.fields(config)}
    if isinstance(config, dict):
        return {str(key): to_plain(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [to_plain(value) for value in config]
    return str(config) if isinstance(config, Path) else config


def save_config(config: Any, path: Path) -> None:
    """Writes the resolved configuration as YAML."""
    path.write_text(yaml.safe_dump(to_plain(config), sort_keys=False))


def config_hash(*parts: Any) -> str:
    """Short, stable hash of configurations and other plain values."""
    text = json.dumps([to_plain(part) for part in parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
