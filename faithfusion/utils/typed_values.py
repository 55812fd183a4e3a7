"""Plain values, as YAML, JSON and a command line have them, to the types of a frozen dataclass; strict.

Known are str, int, float, bool, Path, Literal, unions, tuples, lists, dictionaries by name, and dataclasses.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from faithfusion.utils.errors import InputError

T = TypeVar("T")
NONE_WORDS = ("null", "none", "")
TRUTH = {"true": True, "yes": True, "false": False, "no": False}
SCALARS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}


class Given(dict[str, Any]):
    """Values of the right types by name of the field; a `Given` again where the field is a dataclass."""


def checked(config_class: type, plain: Any, where: str) -> Given:
    """The values of `plain`, a mapping, with the types of the fields of `config_class`.

    `where` begins the place in errors: "--", or "FILE: ". Raises InputError for a name that is no field and for a value
    that is not of the field's type.
    """
    if not isinstance(plain, Mapping):
        raise InputError(where.rstrip(": "), shown(plain), "a mapping of option names to values")
    hints, given = field_types(config_class), Given()
    for name, value in plain.items():
        place = joined(where, str(name))
        if name not in hints:
            raise InputError(place, "no such option", close_names(str(name), hints))
        nested = dataclass_of(hints[name])
        if nested is not None and not (nested is not hints[name] and _is_none(value)):
            given[name] = checked(nested, value, place)
        else:
            given[name] = converted(hints[name], value, place)
    return given


def built(config_class: type[T], given: Mapping[str, Any], default: T | None = None, where: str = "") -> T:
    """An instance with the given values; the others are those of `default`, or of the class.

    Raises InputError for a field without a value, and what the class's own checks raise.
    """
    hints, values = field_types(config_class), {}
    for field in dataclasses.fields(config_class):
        if field.name in given and not isinstance(given[field.name], Given):
            values[field.name] = given[field.name]
            continue
        start = getattr(default, field.name) if default is not None else default_of(field)
        nested = dataclass_of(hints[field.name])
        if field.name in given and nested is not None:
            below = None if start is dataclasses.MISSING else start
            start = built(nested, given[field.name], below, joined(where, field.name))
        if start is dataclasses.MISSING:
            raise InputError(joined(where, field.name), "nothing", described(hints[field.name]))
        values[field.name] = start
    return config_class(**values)


def from_plain(config_class: type[T], plain: Any, where: str | Path) -> T:
    """A mapping as an instance; what it does not name has its default. Raises InputError as `checked`."""
    return built(config_class, checked(config_class, plain, f"{where}: "))


def converted(hint: Any, value: Any, where: str) -> Any:
    """`value` as `hint` says; texts are read as numbers where those are asked for. Raises InputError."""
    origin, args = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        return built(hint, checked(hint, value, where), where=where)
    if origin is Literal:
        return _choice(args, value, where)
    if origin in (Union, types.UnionType):
        return _first_that_fits(hint, value, where)
    if origin in (tuple, list):
        return _sequence(hint, value, where)
    if origin is dict and isinstance(value, Mapping):
        return {str(name): converted(args[1], item, joined(where, str(name))) for name, item in value.items()}
    if hint in SCALARS:
        return _scalar(hint, value, where)
    if hint is Any:
        return value
    raise InputError(where, shown(value), described(hint))


def _is_none(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value in NONE_WORDS)


def _choice(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    for choice in choices:
        if type(choice) is type(value) and choice == value or isinstance(value, str) and str(choice) == value:
            return choice
    raise InputError(where, shown(value), "one of " + ", ".join(map(str, choices)))


def _first_that_fits(hint: Any, value: Any, where: str) -> Any:
    options = members(hint)
    if type(None) in get_args(hint) and _is_none(value):
        return None
    for option in options[:-1]:
        try:
            return converted(option, value, where)
        except InputError:
            continue
    return converted(options[-1], value, where)


def _sequence(hint: Any, value: Any, where: str) -> Any:
    kind, args = get_origin(hint), get_args(hint)
    if not isinstance(value, (list, tuple)):
        raise InputError(where, shown(value), described(hint))
    if kind is tuple and args[-1] is not Ellipsis:
        if len(args) != len(value):
            raise InputError(where, shown(value), described(hint))
        return tuple(converted(arg, item, where) for arg, item in zip(args, value, strict=True))
    return kind(converted(args[0], item, where) for item in value)


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if isinstance(value, str):
        try:
            return TRUTH[value.lower()] if hint is bool else hint(value)
        except (ValueError, KeyError):
            raise InputError(where, shown(value), SCALARS[hint]) from None
    if type(value) is hint or (hint is Path and isinstance(value, Path)):
        return value
    if hint is float and type(value) is int:
        return float(value)
    raise InputError(where, shown(value), SCALARS[hint] + (" (in quotes)" if hint is str else ""))


def field_types(config_class: type) -> dict[str, Any]:
    """The type of every field."""
    hints = get_type_hints(config_class)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_class)}


def members(hint: Any) -> tuple[Any, ...]:
    """The types that a union allows beside None; a type that is no union alone."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return tuple(option for option in options if option is not type(None))


def dataclass_of(hint: Any) -> type | None:
    """The dataclass that a field holds, or holds unless it is None; else None."""
    options = members(hint)
    return options[0] if len(options) == 1 and dataclasses.is_dataclass(options[0]) else None


def is_sequence(hint: Any) -> bool:
    """Whether a type is a tuple or a list."""
    return get_origin(hint) in (tuple, list)


def default_of(field: dataclasses.Field) -> Any:
    """The default of a field, or dataclasses.MISSING."""
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def described(hint: Any) -> str:
    """A type in words."""
    origin, args = get_origin(hint), get_args(hint)
    if hint in SCALARS:
        return SCALARS[hint]
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin in (Union, types.UnionType):
        return " or ".join("null" if option is type(None) else described(option) for option in args)
    if origin is tuple and args[-1] is not Ellipsis:
        return f"{len(args)} values, each {described(args[0])}"
    if origin in (tuple, list):
        return f"a list, each {described(args[0])}"
    return "a mapping of names to values"


def joined(where: str, name: str) -> str:
    """A place and the name of a field in it: "--fit" and "steps" are "--fit.steps"."""
    return where + name if not where or where[-1] in "- " else f"{where}.{name}"


def close_names(name: str, known: Mapping[str, Any]) -> str:
    """What may have been meant."""
    near = difflib.get_close_matches(name, known, 3, 0.6)
    return " or ".join(near) if near else f"one of {', '.join(known)}"


def shown(value: Any) -> str:
    """A wrong value, short enough for one line."""
    text = " ".join(str(value).split())
    return text if len(text) <= 200 else text[:200] + " ..."
