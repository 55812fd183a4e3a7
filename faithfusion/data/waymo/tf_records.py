"""Reads TFRecord files without TensorFlow: length, its checksum, the bytes, their checksum, again and again."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from faithfusion.data.waymo.crc32c import masked_crc32c
from faithfusion.utils.errors import InputError

WHOLE = "a whole, uncompressed TFRecord file"


def read_records(path: Path) -> Iterator[bytes]:
    """Yields the records of a file in order, each checked before it is given out.

    Raises InputError for a file that is missing, is cut, or holds a record with a wrong checksum.
    """
    if not path.is_file():
        raise InputError(path, "no such file", WHOLE)
    with path.open("rb") as file:
        number = 0
        while head := file.read(12):
            where = f"{path}, record {number}"
            length_bytes, stored = _require_bytes(head, 12, where)[:8], head[8:]
            _require_checksum(length_bytes, stored, f"{where}, length")
            length = struct.unpack("<Q", length_bytes)[0]
            data = _read(file, length, where)
            _require_checksum(data, _read(file, 4, where), where)
            yield data
            number += 1


def _read(file: BinaryIO, count: int, where: str) -> bytes:
    return _require_bytes(file.read(count), count, where)


def _require_bytes(data: bytes, count: int, where: str) -> bytes:
    if len(data) < count:
        raise InputError(where, f"the file ends after {len(data)} of {count} bytes", WHOLE)
    return data


def _require_checksum(data: bytes, stored: bytes, where: str) -> None:
    expected, found = struct.unpack("<I", stored)[0], masked_crc32c(data)
    if found != expected:
        raise InputError(where, f"masked CRC-32C {found:#010x}", f"{expected:#010x}, as the file says")
