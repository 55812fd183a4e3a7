"""Headers and rows of binary PLY files, checked before a byte of data is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from einops import rearrange

from faithfusion.utils.errors import InputError

EXPECTED = "a binary PLY file of 3D Gaussian splatting"
BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
NUMPY_TYPES = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2"},
    **{"ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4"},
    **{"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"},
}
GAUSSIAN_TABLES = ("vertex", "chunk", "sh")
MAX_HEADER_BYTES = 65536
COEFFICIENTS = (1, 4, 9, 16)
"""Spherical harmonics per colour of degree 0 to 3."""


@dataclass(frozen=True)
class PlyElement:
    """One table of a PLY file: `count` rows of `dtype` (named columns) from byte `offset` on. A table with lists, as
    the faces of a mesh, has `dtype` None."""

    count: int
    dtype: np.dtype | None
    offset: int


@dataclass(frozen=True)
class PlyHeader:
    """The tables of a PLY file by name, in file order, and its comments."""

    elements: dict[str, PlyElement]
    comments: tuple[str, ...]


def read_ply_header(path: Path) -> PlyHeader:
    """What the head of a PLY file says.

    InputError if the file is missing, no binary PLY, or shorter than its header says.
    """
    if not path.is_file():
        raise InputError(path, "no such file", EXPECTED)
    with path.open("rb") as file:
        head = file.read(MAX_HEADER_BYTES)
    text, mark, _ = head.partition(b"end_header\n")
    if not mark:
        text, mark, _ = head.partition(b"end_header\r\n")
    if not head.startswith(b"ply") or not mark:
        raise InputError(path, f"starts with {head[:8]!r}", EXPECTED)
    lines = text.decode("ascii", "replace").split("\n")
    elements, offset, size = {}, len(text) + len(mark), path.stat().st_size
    for name, table in _parse(path, lines).items():
        elements[name] = PlyElement(table.count, None if table.has_lists else np.dtype(table.fields), offset)
        offset += (
            _list_bytes(path, table, offset, size) if table.has_lists else table.count * elements[name].dtype.itemsize
        )
        if size < offset:
            raise InputError(path, f"cut off: {size} bytes", f"{offset} bytes or more, as its header says")
    comments = tuple(line.removeprefix("comment").strip() for line in lines if line.startswith("comment"))
    return PlyHeader(elements, comments)


def read_rows(path: Path, element: PlyElement) -> np.ndarray:
    """The rows of one table, as a structured array."""
    return np.fromfile(path, dtype=element.dtype, count=element.count, offset=element.offset)


def columns(path: Path, rows: np.ndarray, names: list[str], dtype: type = np.float32) -> np.ndarray:
    """[n, len(names)] of `dtype`. InputError that names the first column that is not there."""
    absent = [name for name in names if name not in (rows.dtype.names or ())]
    if absent:
        raise InputError(path, f"no property {absent[0]}", EXPECTED)
    return np.stack([rows[name].astype(dtype) for name in names], axis=1)


def harmonic_columns(path: Path, rows: np.ndarray) -> np.ndarray:
    """f_rest columns as [n, k - 1, 3], in float32 whatever their type is."""
    names = [name for name in rows.dtype.names or () if name.startswith("f_rest_")]
    per_channel, odd = divmod(len(names), 3)
    if odd or per_channel + 1 not in COEFFICIENTS:
        raise InputError(path, f"{len(names)} properties f_rest_*", "0, 9, 24 or 45 (degree 0 to 3)")
    if not names:
        return np.zeros((len(rows), 0, 3), np.float32)
    return rearrange(columns(path, rows, numbered("f_rest_", len(names))), "n (c k) -> n k c", c=3)


def numbered(prefix: str, count: int) -> list[str]:
    """prefix0, prefix1, ..."""
    return [f"{prefix}{index}" for index in range(count)]


@dataclass(frozen=True)
class _Table:
    """One element of a header: columns as numpy takes them; a list column has the types of its length and items."""

    count: int
    fields: list[tuple]

    @property
    def has_lists(self) -> bool:
        return any(len(field) == 3 for field in self.fields)


def _parse(path: Path, lines: list[str]) -> dict[str, _Table]:
    order, tables = None, {}
    words: list[str] = []
    try:
        for words in (line.split() for line in lines):
            if words[:1] == ["format"]:
                order = BYTE_ORDERS[words[1]]
            elif words[:1] == ["element"]:
                tables[words[1]] = table = _Table(int(words[2]), [])
                if table.count < 0:
                    raise ValueError
            elif words[:1] == ["property"]:
                kinds = words[2:4] if words[1] == "list" else words[1:2]
                if len(kinds) == 2 and list(tables)[-1] in GAUSSIAN_TABLES:
                    raise ValueError
                table.fields.append((words[-1], *(order + NUMPY_TYPES[kind] for kind in kinds)))
                if len({field[0] for field in table.fields}) < len(table.fields):
                    raise ValueError
        return tables
    except (KeyError, ValueError, IndexError, TypeError, UnboundLocalError):
        raise InputError(path, f"header line {' '.join(words)!r}", EXPECTED) from None


def _list_bytes(path: Path, table: _Table, offset: int, size: int) -> int:
    """Length of a table with lists, which only its rows tell; more than is left of the file if that ends before."""
    place = offset
    with path.open("rb") as file:
        for _ in range(table.count):
            for _, kind, *items in table.fields:
                length = 1
                if items:
                    file.seek(place)
                    start = file.read(np.dtype(kind).itemsize)
                    if len(start) < np.dtype(kind).itemsize:
                        return size + 1 - offset
                    length = max(0, int(np.frombuffer(start, kind)[0]))
                    place += len(start)
                place += length * np.dtype(items[0] if items else kind).itemsize
            if place > size:
                break
    return place - offset
