"""YAML files and the command line to one frozen dataclass; unknown names, wrong types and bad choices are refused."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any, TypeVar

from faithfusion.utils.errors import InputError
from faithfusion.utils.option_help import is_positional, option_help
from faithfusion.utils.plain import to_plain
from faithfusion.utils.typed_values import (
    Given,
    built,
    checked,
    close_names,
    dataclass_of,
    described,
    field_types,
    is_sequence,
    members,
)
from faithfusion.utils.yaml_files import merged, parse_yaml, read_yaml

T = TypeVar("T")


def parse_config(config_class: type[T], argv: list[str], *, description: str = "") -> T:
    """Reads `--config FILE.yaml` and `--name.of.option VALUE` into a `config_class`, a frozen dataclass.

    Later ones win. A list takes several values or one in brackets, an option of a nested dataclass the name of a YAML
    file or `{...}`, a bool nothing (true) or a value; fields with the metadata "positional" need no name. A file may
    name a `base` (`utils.yaml_files`). `--help` and `--print_config` print and end the program.

    Raises InputError with the offending option, its value and what was expected.
    """
    if {"--help", "-h"} & set(argv):
        sys.stdout.write(option_help(config_class, description))
        raise SystemExit(0)
    given, prints = _given(config_class, argv)
    try:
        config = built(config_class, given, where="--")
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError("configuration", " ".join(str(error).split()), "values that fit together") from None
    if prints:
        sys.stdout.write(_as_yaml(config))
        raise SystemExit(0)
    return config


def _given(config_class: type, argv: list[str]) -> tuple[Given, bool]:
    """The values of all options, and whether `--print_config` is one."""
    given, rest, prints = Given(), list(argv), False
    positional = [field.name for field in dataclasses.fields(config_class) if is_positional(field)]
    while rest:
        token = rest.pop(0)
        if not token.startswith("--"):
            if not positional:
                raise InputError(token, "a value without an option", "--NAME before it (see --help)")
            given = merged(given, checked(config_class, {positional.pop(0): token}, "--"))
            continue
        name, equals, value = token[2:].partition("=")
        name = name.replace("-", "_")
        if name == "print_config":
            prints = True
        elif name == "config":
            file = value if equals else next(iter(_take(rest, 1)), "")
            if not file:
                raise InputError("--config", "nothing", "a YAML file")
            given = merged(given, checked(config_class, read_yaml(Path(file)), f"{file}: "))
        else:
            values = [value] if equals else None
            given = merged(given, checked(config_class, _option(config_class, name, values, rest), "--"))
    return given, prints


def _option(config_class: type, name: str, values: list[str] | None, rest: list[str]) -> dict[str, Any]:
    """The value of one option as the nested mapping that its dotted name stands for; takes from `rest` what it needs
    if `values` is None."""
    hint: Any = config_class
    for part in name.split("."):
        nested = dataclass_of(hint)
        fields = field_types(nested) if nested else {}
        if part not in fields:
            raise InputError(f"--{name}", "no such option", close_names(part, fields) if fields else "see --help")
        hint = fields[part]
    if values is None:
        values = _take(rest, len(rest) if any(map(is_sequence, members(hint))) else 1, optional=hint is bool)
    plain: Any = _plain(hint, values, f"--{name}")
    for part in reversed(name.split(".")):
        plain = {part: plain}
    return plain


def _plain(hint: Any, values: list[str], where: str) -> Any:
    """The values after an option as YAML would have them."""
    if not values:
        if hint is bool:
            return True
        raise InputError(where, "nothing", described(hint))
    if len(values) > 1:
        return values
    value = values[0]
    if value[:1] in ("[", "{") and not {str, Path} & set(members(hint)):
        return parse_yaml(value, where)
    if dataclass_of(hint) is not None:
        return None if value == "null" else read_yaml(Path(value))
    takes_one = value == "null" or not all(map(is_sequence, members(hint)))
    return value if takes_one else [value]


def _take(rest: list[str], most: int, *, optional: bool = False) -> list[str]:
    """Removes the values at the beginning of `rest`, up to the next option."""
    stop = next((i for i, token in enumerate(rest) if token.startswith("--")), len(rest))
    stop = min(stop, most)
    if optional and stop and rest[0].lower() not in ("true", "false", "yes", "no"):
        stop = 0
    taken = rest[:stop]
    del rest[:stop]
    return taken


def part_of(config: Any, part_class: type[T], **changes: Any) -> T:
    """The fields of `part_class`, a base class of the configuration's, as an instance of it, some of them changed."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(part_class)}
    return part_class(**values | changes)


def save_config(config: Any, path: Path) -> None:
    """Writes the resolved configuration as YAML."""
    path.write_text(_as_yaml(config))


def _as_yaml(config: Any) -> str:
    import yaml

    return yaml.safe_dump(to_plain(config), sort_keys=False)
