"""YAML files that may build on others: `base: FILE` in a mapping takes that file's values, the own ones on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from faithfusion.utils.errors import InputError

BASE = "base"


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file, with every `base` replaced by what it names, relative to the file that names it.

    A `base` may stand at the top or in any mapping below, and may be a list, whose later files win. Raises InputError
    for a file that is missing, is no YAML mapping, or is built on itself.
    """
    return _read(path, ())


def parse_yaml(text: str, where: str | Path) -> Any:
    """One YAML value. Raises InputError, which names `where`, for text that is no YAML."""
    import yaml  # not at the top: py123d's own environment may lack it, and prepare_py123d needs no YAML

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(where, " ".join(str(error).split()), "YAML") from None


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Two nested mappings as one; `over` wins. Its type is that of `under`, whose order comes first."""
    result = type(under)(under)
    for name, value in over.items():
        old = under.get(name)
        both = isinstance(old, dict) and type(old) is type(value)
        result[name] = merged(old, value) if both else value
    return result


def _read(path: Path, chain: tuple[Path, ...]) -> dict[str, Any]:
    chain = (*chain, path.resolve())
    if chain[-1] in chain[:-1]:
        raise InputError(path, "is built on itself: " + " -> ".join(p.name for p in chain), "bases without a circle")
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise InputError(path, found, "a YAML file") from None
    values = parse_yaml(text, path)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(path, f"a {type(values).__name__}", "a YAML mapping of option names to values")
    return _with_bases(values, path, chain)


def _with_bases(values: dict[Any, Any], path: Path, chain: tuple[Path, ...]) -> dict[str, Any]:
    own = {str(name): value for name, value in values.items() if name != BASE}
    own = {name: _with_bases(value, path, chain) if isinstance(value, dict) else value for name, value in own.items()}
    result: dict[str, Any] = {}
    bases = values.get(BASE, [])
    for base in bases if isinstance(bases, list) else [bases]:
        if not isinstance(base, str):
            raise InputError(f"{path}: {BASE}", base, "the name of a YAML file, or a list of them")
        result = merged(result, _read(path.parent / base, chain))
    return merged(result, own)
