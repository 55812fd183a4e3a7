"""Networks in single safetensors files with a header of JSON values: what all kinds of weights files have in common.

Configurations grow. A field that a file lacks because it is younger than the file has its default, so the default of a
new field must mean "as before"; one that has always been there must be there, and an unknown one is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from faithfusion.config import from_plain
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain

PROFILE_FIELDS = ("expected_sq_error", "editor_sq_error")  # every file ever written has them
StoredDtype = Literal["bfloat16", "float32"]
T = TypeVar("T")


@dataclass(frozen=True)
class FileFormat:
    """One kind of weights file; `what`: its name in messages."""

    name: str
    version: int
    what: str

    @property
    def header(self) -> dict[str, str]:
        """The entries of the header that tell the kind."""
        return {"format": self.name, "version": str(self.version)}


def save_stored(
    path: Path, kind: FileFormat, state: Mapping[str, Tensor], facts: Mapping[str, Any], dtype: StoredDtype
) -> None:
    """Writes tensors and a header of JSON values whole or not at all; vectors (norms, biases, statistics) stay in
    float32."""
    header = kind.header | {name: json.dumps(value) for name, value in facts.items()}
    with atomic_file(path) as temporary:
        save_file({name: _stored_value(value, dtype) for name, value in state.items()}, temporary, metadata=header)


def _stored_value(value: Tensor, dtype: StoredDtype) -> Tensor:
    keep = value.ndim < 2 or dtype == "float32"
    return value.detach().cpu().to(torch.float32 if keep else torch.bfloat16).contiguous()


def read_stored(path: Path, kind: FileFormat) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Header and tensors. Raises InputError as `read_header`, and for tensors of a type that cannot be read."""
    header = read_header(path, kind)
    with _opened(path) as file:
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def read_header(path: Path, kind: FileFormat) -> dict[str, str]:
    """The header alone. Raises InputError for a missing or truncated file, another kind or version, and a header
    without config, profile and metadata."""
    if not path.is_file():
        raise InputError(path, "no such file", f"{kind.what} (.safetensors)")
    with _opened(path) as file:
        header = file.metadata() or {}
    if kind.header.items() - header.items():
        found = f"format {header.get('format')}, version {header.get('version')}"
        raise InputError(path, found, f"{kind.name}, version {kind.version}")
    missing = {"config", "profile", "metadata"} - header.keys()
    if missing:
        raise InputError(path, f"header lacks {', '.join(sorted(missing))}", "config, profile and metadata")
    return header


def is_stored_as(path: Path, kind: FileFormat) -> bool:
    """Whether a file says that it is of this kind, in any version."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == kind.name
    except (OSError, SafetensorError):
        return False


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    """The open file; whatever cannot be read of it inside becomes an InputError."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"cannot be read ({error})", "an intact safetensors file") from None


def rewrite_header(path: Path, entries: Mapping[str, Any], out: Path | None = None) -> None:
    """Writes an intact weights file, or a copy `out` of it, with other JSON values in its header; its tensors stay bit
    for bit."""
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    with atomic_file(out or path) as temporary:
        save_file(tensors, temporary, metadata=header | {name: json.dumps(value) for name, value in entries.items()})


def load_exactly(path: Path, module: nn.Module, tensors: Mapping[str, Tensor], expected: Iterable[str]) -> None:
    """Loads tensors, as float32, of exactly the `expected` names of a module. Raises InputError for others and for
    wrong shapes."""
    names = list(expected)
    unexpected, missing = sorted(tensors.keys() - set(names)), [name for name in names if name not in tensors]
    if unexpected or missing:
        found = f"lacks {missing[:3]}, also has {unexpected[:3]}"
        raise InputError(path, found, "exactly the tensors of the stored configuration")
    try:
        module.load_state_dict({name: value.float() for name, value in tensors.items()}, strict=False)
    except RuntimeError as error:  # a tensor of another shape
        found = " ".join(str(error).split())[:300]
        raise InputError(path, found, "exactly the tensors of the stored configuration") from None


def read_strictly(config_class: type[T], text: str, path: Path, required: Iterable[str]) -> T:
    """JSON to a frozen dataclass: `required` fields have to be there, younger ones take their default, none may be
    unknown."""
    try:
        given = json.loads(text)
        value = from_plain(config_class, given, config_class.__name__)
    except (ValueError, TypeError) as error:
        found = " ".join(str(error).split())[:300]
        raise InputError(path, found, f"a valid {config_class.__name__} in the header") from None
    stored, read = _flat(given), _flat(to_plain(value))
    lacking = [name for name in required if name not in stored]
    if lacking:
        raise InputError(path, f"{config_class.__name__} lacks {', '.join(lacking[:3])}", "every field of its version")
    changed = [name for name, entry in stored.items() if read.get(name) != entry]
    if changed:
        raise InputError(path, f"{changed[0]} = {stored[changed[0]]!r}", f"a valid {config_class.__name__}")
    return value


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def require_same_public(
    path: Path, trained_on: Mapping[str, str], here: Mapping[str, str], sources: Mapping[str, str]
) -> None:
    """Raises InputError for the first public part that is not the one a weights file was trained on.

    Fingerprints by part: in the file, and of what was opened from `sources`, in whose order parts are looked at.
    """
    for part in dict.fromkeys([*sources, *trained_on, *here]):
        if trained_on.get(part) != here.get(part):
            found = f"was trained on public {part} {trained_on.get(part, '(none)')}"
            source = sources.get(part)
            expected = f"{here.get(part, 'none')}, which is {source}" if source else "none, as configured"
            raise InputError(path, found, expected)


def shipped_file(name: str) -> Path:
    """A file of weights that comes with the package."""
    with as_file(files("faithfusion.video") / "assets" / name) as path:
        return Path(path)
