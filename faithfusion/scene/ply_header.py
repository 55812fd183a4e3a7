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
MAX_HEADER_BYTES = 65536
COEFFICIENTS = (1, 4, 9, 16)
"""Spherical harmonics per colour of degree 0 to 3."""


@dataclass(frozen=True)
class PlyElement:
    """One table of a PLY file: `count` rows of `dtype` (named columns) from byte `offset` on."""

    count: int
    dtype: np.dtype
    offset: int


def read_ply_header(path: Path) -> dict[str, PlyElement]:
    """The tables of a PLY file by name, in file order.

    InputError if the file is missing, no binary PLY, a mesh, or shorter than its header says.
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
    tables = _parse(path, text.decode("ascii", "replace").split("\n"))
    elements, offset = {}, len(text) + len(mark)
    for name, (count, dtype) in tables.items():
        elements[name] = PlyElement(count, dtype, offset)
        offset += count * dtype.itemsize
    size = path.stat().st_size
    if size < offset:
        raise InputError(path, f"cut off: {size} bytes", f"{offset} bytes, as its header says")
    return elements


def read_rows(path: Path, element: PlyElement) -> np.ndarray:
    """The rows of one table, as a structured array."""
    return np.fromfile(path, dtype=element.dtype, count=element.count, offset=element.offset)


def columns(path: Path, rows: np.ndarray, names: list[str]) -> np.ndarray:
    """float32 [n, len(names)]. InputError that names the first column that is not there."""
    absent = [name for name in names if name not in (rows.dtype.names or ())]
    if absent:
        raise InputError(path, f"no property {absent[0]}", EXPECTED)
    return np.stack([rows[name].astype(np.float32) for name in names], axis=1)


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


def _parse(path: Path, lines: list[str]) -> dict[str, tuple[int, np.dtype]]:
    order, counts, fields = None, {}, {}
    try:
        for words in (line.split() for line in lines):
            if words[:1] == ["format"]:
                order = BYTE_ORDERS[words[1]]
            elif words[:1] == ["element"]:
                counts[words[1]], fields[words[1]] = int(words[2]), []
            elif words[:1] == ["property"]:
                list(fields.values())[-1].append((words[2], order + NUMPY_TYPES[words[1]]))
        return {name: (counts[name], np.dtype(fields[name])) for name in counts}
    except (KeyError, ValueError, IndexError, TypeError):
        raise InputError(path, f"header line {' '.join(words)!r}", EXPECTED) from None
