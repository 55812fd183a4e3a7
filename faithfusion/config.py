"""YAML files and the command line to one frozen dataclass; unknown names, wrong types and bad choices are refused."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from argparse import RawDescriptionHelpFormatter
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, DefaultHelpFormatter, set_parsing_settings

from faithfusion.utils.called import program
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain

T = TypeVar("T")
TRUTH = ("true", "false", "yes", "no")
# How jsonargparse words its errors, and our words for them.
NAME = re.compile(r"Parser key \"([^\"]+)\"|Group '([^']+)'|[Oo]ption '([^']+)'|required: (.+)")
UNION = re.compile(
    r"Does not validate.*? Errors: - (.*?)(?: - Expected a <class 'NoneType'>)? Given .*? Given value: (.*)"
)
WRONG = re.compile(r".*Expected (.+?)\. Got value: (.*?)(?:\. Got value.*)?$")
DENIED = re.compile(r"Importing '(.*?)' is not allowed")
PREFIX = re.compile(r"^Parser key [^:]*: | - Parser key .*$")
WORDS = {
    "a <class 'int'>": "a whole number",
    "a <class 'float'>": "a number",
    "a <class 'bool'>": "true or false",
    "a <class 'str'>": "a text (in quotes)",
    "a <class 'tuple'>": "a list",
    "a typing.Literal": "one of ",
}


class _Page(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Types and defaults of all options, below a description with its own line breaks."""


class _File(ActionConfigFile):
    """A file of options, which is named in what is wrong with it."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        try:
            super().__call__(parser, cfg, values, option_string)
        except (ArgumentError, ValueError, TypeError) as error:
            raise _refused(error, f"{values}: ") from None


def parse_config(config_class: type[T], argv: list[str], *, description: str = "") -> T:
    """Reads `--config FILE.yaml` and `--name.of.option VALUE` into a `config_class`, a frozen dataclass.

    Later ones win. A list takes several values or one in brackets, an option of a nested dataclass the name of a YAML
    file or `{...}`, a bool nothing (true) or a value; fields with the metadata "positional" need no name. A file may
    give the name of another one for a nested dataclass. `--help` and `--print_config` print and end the program.

    Raises InputError with the offending option, its value and what was expected.
    """
    places = "".join(f" {name.upper()}" for name in _positional(config_class))
    usage = f"{program()}{places} [--config FILE.yaml] [--OPTION VALUE ...]"
    parser = _parser(config_class, prog=program(), usage=usage, description=description, formatter_class=_Page)
    parser.add_argument("--config", action=_File, help="A YAML file of options; what comes later wins.")
    try:
        return _instance(parser, config_class, parser.parse_args(_translated(config_class, argv)))
    except (ArgumentError, ValueError, TypeError) as error:
        raise _refused(error, "--") from None


def from_plain(config_class: type[T], plain: Any, where: str | Path) -> T:
    """A mapping as an instance; what it does not name has its default. Raises InputError, which begins with `where`."""
    if not isinstance(plain, Mapping):
        raise InputError(where, plain, "a mapping of option names to values")
    for name in plain:
        _hint(config_class, str(name), f"{where}: ")
    parser = _parser(config_class)
    try:
        return _instance(parser, config_class, parser.parse_object(dict(plain)))
    except (ArgumentError, ValueError, TypeError) as error:
        raise _refused(error, f"{where}: ") from None


def part_of(config: Any, part_class: type[T], **changes: Any) -> T:
    """The fields of `part_class`, a base class of the configuration's, as an instance of it, some of them changed."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(part_class)}
    return part_class(**values | changes)


def save_config(config: Any, path: Path) -> None:
    """Writes the resolved configuration as YAML."""
    path.write_text(yaml.safe_dump(to_plain(config), sort_keys=False))


def _parser(config_class: type, **page: Any) -> ArgumentParser:
    # Values may come from a weights file of somebody else: none makes jsonargparse import a module.
    package = config_class.__module__.partition(".")[0]
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[package])
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False, **page)
    parser.add_class_arguments(config_class, sub_configs=True)
    return parser


def _instance(parser: ArgumentParser, config_class: type[T], values: Any) -> T:
    fields = parser.instantiate(values)
    return config_class(**{field.name: fields[field.name] for field in dataclasses.fields(config_class)})


def _positional(config_class: type) -> list[str]:
    return [field.name for field in dataclasses.fields(config_class) if field.metadata.get("positional")]


def _translated(config_class: type, argv: list[str]) -> list[str]:
    """The command line as jsonargparse takes it: places by name, several values as one list, a bool alone as true."""
    translated, rest, places = [], list(argv), _positional(config_class)
    while rest:
        token = rest.pop(0)
        name, equals, value = token[2:].partition("=")
        name = name.replace("-", "_")
        if token == "-h" or name in ("help", "print_config") or name.endswith(".help"):
            translated.append(token.replace("-config", "_config"))
        elif not token.startswith("--"):
            if not places:
                raise InputError(token, "a value without an option", "--NAME before it (see --help)")
            translated.append(f"--{places.pop(0)}={token}")
        else:
            hint = Path if name == "config" else _hint(config_class, name)
            text = _text(hint, [value] if equals else _taken(rest, hint), f"--{name}")
            translated.append(f"--{name}={text}")
    return translated


def _text(hint: Any, values: list[str], where: str) -> str:
    """The values after an option as one, in YAML if there are several."""
    if not values and hint is not bool:
        raise InputError(where, "nothing", "a value")
    if len(values) > 1 or (values and _is_list(hint) and values[0] != "null" and values[0][:1] != "["):
        return json.dumps(values)
    return values[0] if values else "true"


def _taken(rest: list[str], hint: Any) -> list[str]:
    """Removes the values of an option from the beginning of `rest`."""
    count = next((i for i, token in enumerate(rest) if token.startswith("--")), len(rest))
    if not _is_list(hint):
        count = min(count, 1)
    if hint is bool and count and rest[0].lower() not in TRUTH:
        count = 0
    taken = rest[:count]
    del rest[:count]
    return taken


def _hint(config_class: type, name: str, where: str = "--") -> Any:
    """The type of the option with this dotted name. Raises InputError, which begins with `where`, if there is none."""
    hint: Any = config_class
    for part in name.split("."):
        nested = next((member for member in _members(hint) if dataclasses.is_dataclass(member)), None)
        hints = get_type_hints(nested) if nested else {}
        if part not in hints:
            known = difflib.get_close_matches(part, hints, 3) or hints
            raise InputError(
                where + name, "no such option", "one of " + ", ".join(known) if known else "a single value"
            )
        hint = hints[part]
    return hint


def _members(hint: Any) -> tuple[Any, ...]:
    """The types that a field may have beside None."""
    args = get_args(hint)
    return tuple(arg for arg in args if arg is not NoneType) if NoneType in args else (hint,)


def _is_list(hint: Any) -> bool:
    return any(get_origin(member) in (tuple, list) for member in _members(hint))


def _refused(error: Exception, where: str) -> InputError:
    """What jsonargparse says, in one line that begins with `where` and the name of the option."""
    if isinstance(error, InputError):
        return error
    text = UNION.sub(r"\1. Got value: \2", " ".join(str(error).split()))
    for theirs, ours in WORDS.items():
        text = text.replace(theirs, ours)
    names = [name for name in dict.fromkeys("".join(match) for match in NAME.findall(text)) if name != "config"]
    place = where + ".".join(names) if names else where.rstrip(": -") or "configuration"
    if "not accept" in text:
        return InputError(place, "no such option", "what --help lists")
    if "are required" in text:
        return InputError(place, "nothing", "a value")
    if denied := DENIED.search(text):
        return InputError(place, denied[1], "{...}, or a YAML file that can be read")
    if wrong := WRONG.search(text):
        return InputError(place, wrong[2], wrong[1])
    text = PREFIX.sub("", text).partition(". Got value")[0]
    return InputError(place, text, "files and values as --help describes them")
