"""Writes TFRecord files of Waymo frames by the public field numbers, with nothing from the code under test."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from reference.crc32c import crc32c

Points = Sequence[Sequence[float]]


def varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def double(field: int, value: float) -> bytes:
    return varint(field << 3 | 1) + struct.pack("<d", value)


def single(field: int, value: float) -> bytes:
    return varint(field << 3 | 5) + struct.pack("<f", value)


def message(field: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


def point(field: int, place: Sequence[float]) -> bytes:
    """A MapPoint or a Vector3d; coordinates of 0 are left out, as writers do."""
    return message(field, *(double(axis + 1, value) for axis, value in enumerate(place) if value))


def road_line(feature: int, points: Points) -> bytes:
    return message(10, number(1, feature), message(4, number(1, 7), *(point(2, place) for place in points)))


def road_edge(feature: int, points: Points) -> bytes:
    return message(10, number(1, feature), message(5, number(1, 1), *(point(2, place) for place in points)))


def crosswalk(feature: int, points: Points) -> bytes:
    return message(10, number(1, feature), message(8, *(point(1, place) for place in points)))


def lane(feature: int, points: Points) -> bytes:
    """A lane's middle, which is no line on the road; with packed ids and a boundary, as real ones have."""
    boundary = message(13, number(1, 0), number(2, 4), number(3, 300))
    body = (double(1, 25.0), number(2, 2), *(point(8, place) for place in points), message(9, varint(5), varint(700)))
    return message(10, number(1, feature), message(3, *body, boundary))


def stop_sign(feature: int, place: Sequence[float]) -> bytes:
    return message(10, number(1, feature), message(7, number(1, 12), point(2, place)))


def frame(segment: str, time: int, *map_features: bytes, offset: Sequence[float] | None = None) -> bytes:
    """A frame with a bit of what stands around the map: a calibration, a pose, an image."""
    pose = message(3, *(double(1, value) for value in (1.0, 0.0, 0.0, 4.5)))
    image = message(4, number(1, 1), message(2, bytes(range(200))), message(4, single(1, 1.5)))
    drift = b"" if offset is None else point(11, offset)
    context = message(1, message(1, segment.encode()), message(2, number(1, 1), double(2, 2000.0)))
    return context + number(2, time) + pose + image + b"".join(map_features) + drift


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def write_records(path: Path, frames: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(record(data) for data in frames))
    return path
