"""Reads parquet files row by row: they are checked when opened, and never lie in memory as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from faithfusion.data.waymo.components import SEGMENT, TIME, Component
from faithfusion.utils.errors import InputError
from faithfusion.utils.extras import require_extra

BUFFER_BYTES = 1 << 20
"""Read ahead per column: a file is often one row group, which must not be loaded as a whole."""
ROWS_PER_BATCH = 2
FRAMES_AHEAD = 4
"""The rows of so many time stamps are kept when they come before their turn."""


def need_pyarrow() -> Any:
    """The module `pyarrow.parquet`. InputError that says how to install it."""
    require_extra("waymo", "pyarrow")
    import pyarrow.parquet

    return pyarrow.parquet


def list_segments(data: Path) -> list[str]:
    """Names of the segments in a folder of components, by their poses. InputError if there are none."""
    folder = data / "vehicle_pose"
    if not folder.is_dir():
        expected = "the component folders of Waymo's v2 files: vehicle_pose, camera_image, ..."
        raise InputError(folder, "no such folder", expected)
    names = sorted(path.stem for path in folder.glob("*.parquet"))
    if not names:
        raise InputError(folder, "no segments", "files named SEGMENT.parquet")
    return names


class Table:
    """One component of one segment. Rows are dicts from column name to pyarrow scalar."""

    def __init__(self, data: Path, component: Component, segment: str) -> None:
        """InputError if the file is missing, no whole parquet file, lacks a column or holds another segment."""
        parquet = need_pyarrow()
        self.component, self.path = component, data / component.tag / f"{segment}.parquet"
        if not self.path.is_file():
            raise InputError(self.path, "no such file", f"the component {component.tag} of the segment")
        try:
            # pre_buffer would load every column of a row group at once
            self._file = parquet.ParquetFile(self.path, buffer_size=BUFFER_BYTES, pre_buffer=False)
        except (OSError, ValueError) as error:  # pyarrow's own errors are of these kinds
            raise InputError(self.path, f"cannot be read ({_one_line(error)})", "a whole parquet file") from None
        present = set(self._file.schema_arrow.names)
        wanted = (SEGMENT, *component.keys, *component.columns)
        missing = [name for name in wanted if name not in present]
        if missing:
            raise InputError(self.path, f"no column {missing[0]}", f"Waymo v2's columns of {component.tag}")
        self._wanted = list(wanted)
        names = {row[SEGMENT].as_py() for row in self._rows([SEGMENT], 4096)}
        if names - {segment}:
            raise InputError(self.path, f"rows of segment {sorted(names)[0]}", f"segment {segment} only")

    def rows(self) -> Iterator[dict[str, Any]]:
        """All rows in the order of the file."""
        return self._rows(self._wanted, ROWS_PER_BATCH)

    def times(self) -> list[int]:
        """Time stamp of every row, microseconds."""
        return [int(row[TIME].as_py()) for row in self._rows([TIME], 4096)]

    def pairs(self, key: str, names: Sequence[str]) -> list[tuple[int, int]]:
        """Time stamp, and which camera or laser counted from 0, of every row."""
        return [(int(row[TIME].as_py()), number(row, key, names)) for row in self._rows([TIME, key], 4096)]

    def _rows(self, columns: Sequence[str], batch_size: int) -> Iterator[dict[str, Any]]:
        try:
            for batch in self._file.iter_batches(batch_size=batch_size, columns=list(columns)):
                arrays = {name: batch.column(name) for name in columns}
                for index in range(batch.num_rows):
                    yield {name: array[index] for name, array in arrays.items()}
        except (OSError, ValueError) as error:
            raise InputError(self.path, f"cannot be read ({_one_line(error)})", "a whole parquet file") from None


class FrameRows:
    """Rows of a table by time stamp, to be asked for in ascending order.

    A file in that order, as Waymo's are, is read once from front to back. Rows that come a few frames early are kept;
    for rows that were passed longer ago the file is read again.
    """

    def __init__(self, table: Table) -> None:
        self._table, self._counts = table, Counter(table.times())
        self._kept: dict[int, list[dict[str, Any]]] = {}
        self._begin()

    def at(self, time: int) -> list[dict[str, Any]]:
        """All rows of one time stamp; none if the table has none."""
        for _ in range(2):
            while len(self._kept.get(time, [])) < self._counts[time]:
                row = next(self._stream, None)
                if row is None:
                    break
                self._keep(row, time)
            rows = self._kept.pop(time, [])
            if len(rows) == self._counts[time]:
                return rows
            self._begin()  # some were passed before: once more from the front
        raise InputError(self._table.path, f"rows of time {time} changed while reading", "a file that stays as it is")

    def _begin(self) -> None:
        self._stream = self._table.rows()
        self._kept.clear()

    def _keep(self, row: dict[str, Any], asked: int) -> None:
        time = int(row[TIME].as_py())
        if time >= asked:
            self._kept.setdefault(time, []).append(row)
        if len(self._kept) > FRAMES_AHEAD + 1:
            del self._kept[max(self._kept)]


def number(row: dict[str, Any], key: str, names: Sequence[str]) -> int:
    """Which camera or laser a row is of, counted from 0; -1 for unknown ones."""
    value = row[key].as_py()
    if isinstance(value, str):
        return names.index(value) if value in names else -1
    return int(value) - 1


def values(row: dict[str, Any], column: str) -> np.ndarray | None:
    """A list column of a row as a flat array without going through Python numbers; None if it is null."""
    scalar = row[column]
    return None if scalar.values is None else scalar.values.to_numpy(zero_copy_only=False)


def matrix(row: dict[str, Any], column: str, where: Path) -> np.ndarray:
    """A transform of a row, [4, 4] float64. InputError if it has not 16 numbers."""
    flat = values(row, column)
    if flat is None or flat.size != 16:
        raise InputError(where, f"{column}: {0 if flat is None else flat.size} numbers", "a 4x4 transform")
    return flat.astype(np.float64).reshape(4, 4)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
