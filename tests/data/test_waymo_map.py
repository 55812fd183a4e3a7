"""The map of a Waymo segment out of TFRecord files that the tests write, and the file of lines of a drive."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import made_up_tfrecord as made_up
import numpy as np
import pytest
from reference.crc32c import crc32c as slow_crc32c

from faithfusion.data.drive_map import (
    CROSSWALK,
    MAP_FILE,
    ROAD_EDGE,
    ROAD_LINE,
    DriveMap,
    MapLine,
    read_drive_map,
    write_drive_map,
)
from faithfusion.data.waymo import crc32c
from faithfusion.data.waymo.segment_map import read_segment_map
from faithfusion.data.waymo.wire_format import read_fields
from faithfusion.utils.errors import InputError

SEGMENT = "1234567890_100_000_120_000"
TIMES = (1_550_000_000_000_000, 1_550_000_000_100_000, 1_550_000_000_200_000)
LINE = [(8000.125, -300.5, 20.0), (8010.0, -300.0, 20.25), (8020.0, 0.0, 0.0)]
EDGE = [(8000.0, -296.0, 20.0), (8020.0, -295.5, -0.5)]
CROSSING = [(8005.0, -301.0, 20.0), (8008.0, -301.0, 20.0), (8008.0, -290.0, 20.0), (8005.0, -290.0, 20.0)]
FEATURES = (
    made_up.lane(1, LINE),
    made_up.road_line(2, LINE),
    made_up.stop_sign(3, LINE[0]),
    made_up.crosswalk(4, CROSSING),
    made_up.road_edge(500_000, EDGE),
    made_up.road_line(6, LINE[:1]),
    made_up.crosswalk(7, CROSSING[:2]),
)
OFFSETS = ((0.5, -0.25, 0.0), (0.625, 0.0, 0.125))


def frames() -> list[bytes]:
    """Of three time stamps; the last has no offset."""
    return [
        made_up.frame(SEGMENT, TIMES[0], *FEATURES, offset=OFFSETS[0]),
        made_up.frame(SEGMENT, TIMES[1], offset=OFFSETS[1]),
        made_up.frame(SEGMENT, TIMES[2]),
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made_up.write_records(tmp_path / "segment.tfrecord", frames())


def test_lines_and_offsets_are_those_of_the_file(path: Path) -> None:
    drive_map = read_segment_map(path, SEGMENT, TIMES)
    assert [line.kind for line in drive_map.lines] == [ROAD_LINE, CROSSWALK, ROAD_EDGE]
    for line, expected in zip(drive_map.lines, (LINE, CROSSING, EDGE), strict=True):
        np.testing.assert_array_equal(line.points_m, expected)
    np.testing.assert_array_equal(drive_map.offsets_m, [*OFFSETS, (0.0, 0.0, 0.0)])
    assert drive_map.source == "map features of segment.tfrecord"


def test_a_later_part_of_the_segment_has_its_own_offsets(path: Path) -> None:
    drive_map = read_segment_map(path, SEGMENT, TIMES[1:2])
    np.testing.assert_array_equal(drive_map.offsets_m, OFFSETS[1:])
    assert len(drive_map.lines) == 3


def test_records_after_the_last_one_needed_are_not_read(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    assert len(read_segment_map(path, SEGMENT, TIMES[:2]).lines) == 3


def _spoil(place: int) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[place] ^= 0x10
        path.write_bytes(bytes(data))

    return spoil


def _rewrite(*records: bytes) -> Callable[[Path], object]:
    return lambda path: made_up.write_records(path, records)


END = 12 + len(frames()[0]) + 4
NOT_FINITE = made_up.frame(SEGMENT, TIMES[0], made_up.road_line(1, [(1.0, 2.0, 3.0), (np.nan, 2.0, 3.0)]))
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(), r"segment.tfrecord: no such file; expected a whole, uncompressed TFRecord"),
    "cut in the first record": (
        lambda path: path.write_bytes(path.read_bytes()[: END - 100]),
        rf"record 0: the file ends after {END - 112} of {END - 16} bytes; expected a whole, uncompressed TFRecord file",
    ),
    "cut in a head": (
        lambda path: path.write_bytes(path.read_bytes()[: END + 7]),
        r"record 1: the file ends after 7 of 12 bytes",
    ),
    "cut in a checksum": (
        lambda path: path.write_bytes(path.read_bytes()[: END - 1]),
        r"record 0: the file ends after 3 of 4 bytes",
    ),
    "cut between records": (
        lambda path: path.write_bytes(path.read_bytes()[:END]),
        rf"1 records, none of time {TIMES[1]}; expected one record for each time stamp",
    ),
    "empty": (lambda path: path.write_bytes(b""), rf"0 records, none of time {TIMES[0]}"),
    "wrong byte": (_spoil(400), r"record 0: masked CRC-32C 0x[0-9a-f]{8}; expected 0x[0-9a-f]{8}, as the file says"),
    "wrong length": (_spoil(1), r"record 0, length: masked CRC-32C 0x"),
    "wrong byte of the second record": (_spoil(END + 40), r"record 1: masked CRC-32C 0x"),
    "no map": (
        _rewrite(made_up.frame(SEGMENT, TIMES[0]), *frames()),
        r"no map features in the first record; expected a perception segment of v1.4 with its map",
    ),
    "another segment": (
        _rewrite(made_up.frame("other", TIMES[0], *FEATURES)),
        rf"segment other; expected segment {SEGMENT}",
    ),
    "no frames": (_rewrite(b"no message at all"), r"record 0: cannot be read \(.*\); expected a frame of Waymo's"),
    "a number for a map": (
        _rewrite(made_up.number(10, 5)),
        r"record 0: cannot be read \(the number 5 where text or a message should be",
    ),
    "text for a time": (_rewrite(made_up.message(2, b"soon")), r"record 0: cannot be read \("),
    "floats for doubles": (
        _rewrite(made_up.message(10, made_up.message(4, made_up.message(2, made_up.single(1, 1.0))))),
        r"record 0: cannot be read \(field 1 is no double\)",
    ),
    "not finite": (_rewrite(NOT_FINITE), r"record 0: a place on the map that is not finite; expected metres"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_refused_in_one_line(path: Path, case: str) -> None:
    damage, message = DAMAGE[case]
    damage(path)
    with pytest.raises(InputError, match=message) as caught:
        read_segment_map(path, SEGMENT, TIMES)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"\x08", b"\x0a\x05ab", b"\x09" + bytes(7), b"\x0b", b"\xff" * 11, b"\x08\x80", b"\x07"],
    ids=["no value", "short text", "short double", "group", "endless number", "cut number", "unknown type"],
)
def test_bytes_that_are_no_message(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"field|integer"):
        list(read_fields(data))


def test_fields_of_every_type() -> None:
    data = made_up.number(1, 300) + made_up.double(2, 1.5) + made_up.message(16, b"abc") + made_up.single(3, 0.25)
    found = [(field, value if isinstance(value, int) else bytes(value)) for field, value in read_fields(data)]
    assert found == [(1, 300), (2, struct.pack("<d", 1.5)), (16, b"abc"), (3, struct.pack("<f", 0.25))]


def test_the_checksum_is_castagnolis() -> None:
    known = {b"123456789": 0xE3069283, bytes(32): 0x8A9136AA, b"\xff" * 32: 0x62A8AB43, b"": 0}  # RFC 3720, B.4
    for data, expected in known.items():
        assert crc32c.crc32c(data) == slow_crc32c(data) == expected
    rng = np.random.default_rng(0)
    for size in (1, 3, 4, 15, 16, 17, 63, 64, 65, 1000, 4097, 20_001):
        data = rng.bytes(size)
        assert crc32c.crc32c(data) == slow_crc32c(data), size


def test_a_file_of_lines_comes_back(tmp_path: Path) -> None:
    lines = (MapLine(ROAD_LINE, np.array(LINE)), MapLine(CROSSWALK, np.array(CROSSING)))
    for offsets in (np.array(OFFSETS), None):
        write_drive_map(tmp_path, DriveMap("somewhere", lines, offsets))
        found = read_drive_map(tmp_path)
        assert found.source == "somewhere" and [line.kind for line in found.lines] == [ROAD_LINE, CROSSWALK]
        for line, expected in zip(found.lines, (LINE, CROSSING), strict=True):
            np.testing.assert_array_equal(line.points_m, expected)
        if offsets is None:
            assert found.offsets_m is None
        else:
            np.testing.assert_array_equal(found.offsets_m, offsets)
    assert [entry.name for entry in tmp_path.iterdir()] == [MAP_FILE]
    assert read_drive_map(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "no list of lines; expected a file of lines, as docs/data.md describes it"),
        ({"lines": [{"kind": "river", "points_m": LINE}]}, "line 0: .*; expected a line of kind road_edge, road_line"),
        ({"lines": [{"kind": "road_line", "points_m": LINE[:1]}]}, "line 0: .*; expected 2 or more points"),
        ({"lines": [{"kind": "crosswalk", "points_m": LINE[:2]}]}, "line 0: .*; expected 3 or more points"),
        ({"lines": [{"kind": "road_line", "points_m": [[1, 2], [3, 4]]}]}, "expected 2 or more points of three finite"),
        ({"lines": [{"kind": "road_line"}]}, "line 0: None; expected 2 or more points"),
        ({"lines": [], "offsets_m": [[0, 0, "a"]]}, "offsets_m: .*; expected 1 or more points"),
    ],
)
def test_a_damaged_file_of_lines_is_refused(tmp_path: Path, content: object, message: str) -> None:
    (tmp_path / MAP_FILE).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError, match=message) as caught:
        read_drive_map(tmp_path)
    assert "\n" not in str(caught.value)
