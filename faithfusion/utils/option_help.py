"""The page that `--help` prints: what a command does, and its options in groups, each with its meaning and default."""

from __future__ import annotations

import dataclasses
import inspect
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from faithfusion.utils.called import program
from faithfusion.utils.typed_values import dataclass_of, default_of, field_types, is_sequence, members

INDENT, COLUMN = 2, 30
MAX_WIDTH = 110
METAVARS = {int: "N", float: "X", str: "TEXT", Path: "PATH", bool: "true|false"}
ENTRY = re.compile(r"^    (\w+): (.*(?:\n      +\S.*)*)", re.MULTILINE)


def option_help(config_class: type, description: str) -> str:
    """The whole page. Groups are the nested dataclasses; meanings come from "Attributes:" of the docstrings."""
    width = min(shutil.get_terminal_size().columns, MAX_WIDTH)
    places = [field.name.upper() for field in dataclasses.fields(config_class) if is_positional(field)]
    usage = " ".join(["usage:", program(), *places, "[--config FILE.yaml] [--OPTION VALUE ...]"])
    lines = [usage, "", inspect.cleandoc(description), ""] if description else [usage, ""]
    for title, rows in _groups(config_class, "", None, "Options"):
        lines += textwrap.wrap(title + ":", width, break_on_hyphens=False)
        for left, meaning in rows:
            lines += _entry(left, meaning, width)
        lines.append("")
    return "\n".join([*lines, *_common(width)]) + "\n"


def is_positional(field: dataclasses.Field) -> bool:
    """Whether the option is given by its place instead of its name."""
    return bool(field.metadata.get("positional"))


def sentence(text: str) -> str:
    """A text that begins with a capital letter and ends with a full stop."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if text[-1:] in ".!?" else ".") if text else ""


def attribute_texts(config_class: type) -> dict[str, str]:
    """The meaning of every field, from the docstrings of the class and of those it is built on."""
    texts: dict[str, str] = {}
    for owner in reversed(config_class.__mro__):
        _, _, attributes = inspect.cleandoc(owner.__dict__.get("__doc__") or "").partition("Attributes:\n")
        texts |= {name: " ".join(text.split()) for name, text in ENTRY.findall(attributes)}
    return texts


def _groups(config_class: type, prefix: str, default: Any, title: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Own options first, then one group for every nested dataclass, with the groups in it."""
    hints, texts = field_types(config_class), attribute_texts(config_class)
    rows, below = [], []
    for field in dataclasses.fields(config_class):
        value = getattr(default, field.name) if default is not None else default_of(field)
        nested, text = dataclass_of(hints[field.name]), texts.get(field.name, "")
        if nested is None:
            name = (
                field.name.upper() if is_positional(field) else f"--{prefix}{field.name} {_metavar(hints[field.name])}"
            )
            rows.append((name.rstrip(), f"{sentence(text)} {_default(value)}".strip()))
        else:
            below.append((nested, f"{prefix}{field.name}", value, text))
    if rows:
        yield title, rows
    for nested, name, value, text in below:
        start = None if value is dataclasses.MISSING else value
        null = (
            f", null for none{' (the default)' if value is None else ''}"
            if hints[name.rsplit(".")[-1]] is not nested
            else ""
        )
        heading = f"{sentence(text).rstrip('.')} (--{name} FILE.yaml{null}, or single values)"
        yield from _groups(nested, f"{name}.", start, heading.strip())


def _entry(left: str, meaning: str, width: int) -> list[str]:
    """One option: its meaning beside it, or below if it is long."""
    filled = textwrap.wrap(meaning, width - COLUMN, break_on_hyphens=False)
    head = " " * INDENT + left
    if len(head) + 2 <= COLUMN and filled:
        head = head.ljust(COLUMN) + filled.pop(0)
    return [head, *(" " * COLUMN + line for line in filled)]


def _common(width: int) -> list[str]:
    rows = [
        ("--config FILE.yaml", "Options from a file, which may name others as `base`; what comes later wins."),
        ("--print_config", "Prints all options with their values as YAML, and does nothing else."),
        ("--help", "Prints this page."),
    ]
    return ["Every command:", *(line for row in rows for line in _entry(*row, width))]


def _metavar(hint: Any) -> str:
    options = members(hint)
    if len(options) > 1:
        return "|".join(_metavar(option) for option in options)
    only = options[0]
    if get_origin(only) is Literal:
        return "|".join(map(str, get_args(only)))
    if is_sequence(only):
        args = [arg for arg in get_args(only) if arg is not Ellipsis]
        simple = all(arg in METAVARS or get_origin(arg) is Literal for arg in args)
        many = get_origin(only) is list or get_args(only)[-1] is Ellipsis
        text = " ".join(map(_metavar, args))
        return (f"{text} ..." if many else text) if simple else "'[...]'"
    return METAVARS.get(only, "'{...}'")


def _default(value: Any) -> str:
    if value is dataclasses.MISSING:
        return "Required."
    if value is None or value == "" or value == () or value == [] or value == {}:
        return ""
    if isinstance(value, (tuple, list)):
        return f"Default: {' '.join(map(str, value))}."
    return f"Default: {str(value).lower() if isinstance(value, bool) else value}."
