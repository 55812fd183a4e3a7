"""The wire format of protocol buffers: a message is a list of numbered fields.

See https://protobuf.dev/programming-guides/encoding. A field starts with a key, number << 3 | type; integers are in
groups of seven bits, the lowest first. Groups (types 3 and 4), which nobody has written for long, are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Value = int | memoryview
VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
MAX_VARINT_BYTES = 10


def read_fields(message: bytes | Value) -> Iterator[tuple[int, Value]]:
    """Yields (number, value) of each field in order: an int for varints, else the field's bytes without copying them.

    Raises ValueError for bytes that are no message, and for an int, which is none.
    """
    view, place = _require_bytes(message), 0
    while place < len(view):
        key, place = _read_varint(view, place)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, place = _read_varint(view, place)
            yield number, value
            continue
        if kind == LENGTH:
            size, place = _read_varint(view, place)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            size = 8 if kind == EIGHT_BYTES else 4
        else:
            raise ValueError(f"field {number} of type {kind}")
        if number == 0 or place + size > len(view):
            raise ValueError(f"field {number} of {size} bytes at byte {place} of {len(view)}")
        yield number, view[place : place + size]
        place += size


def read_doubles(message: bytes | Value, numbers: tuple[int, ...]) -> tuple[float, ...]:
    """Returns the doubles of the fields `numbers`; 0 where there is none. Raises ValueError as `read_fields`, and for a
    field of another type."""
    found = dict.fromkeys(numbers, 0.0)
    for number, value in read_fields(message):
        if number in found:
            if isinstance(value, int) or len(value) != 8:
                raise ValueError(f"field {number} is no double")
            found[number] = struct.unpack("<d", value)[0]
    return tuple(found.values())


def read_text(value: Value) -> str:
    """Returns a field's text. Raises ValueError if it is none."""
    return str(_require_bytes(value), "utf-8")


def _require_bytes(value: bytes | Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError(f"the number {value} where text or a message should be")
    return memoryview(value)


def _read_varint(view: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(MAX_VARINT_BYTES):
        if place + shift >= len(view):
            raise ValueError(f"an integer that does not end at byte {place} of {len(view)}")
        byte = view[place + shift]
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, place + shift + 1
    raise ValueError(f"an integer of more than {MAX_VARINT_BYTES} bytes")
