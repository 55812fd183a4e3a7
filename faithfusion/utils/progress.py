"""One progress bar with time left, on stderr; a plain line every so often when stderr is not a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")


def track(items: Iterable[T], label: str, total: int | None = None, *, plain_interval_s: float = 10.0) -> Iterator[T]:
    """Iterates with a bar named `label`. `total` is needed when `items` has no length."""
    count = len(items) if total is None else total  # type: ignore[arg-type]
    bar = _track_bar if sys.stderr.isatty() else _track_plain
    yield from bar(items, label, count, plain_interval_s)


def _track_bar(items: Iterable[T], label: str, total: int, _: float) -> Iterator[T]:
    columns = (
        TextColumn(f"{label:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=total)
        for item in items:
            yield item
            progress.advance(task)


def _track_plain(items: Iterable[T], label: str, total: int, interval_s: float) -> Iterator[T]:
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= interval_s or done == total:
            last = now
            left_s = (now - start) / done * (total - done)
            sys.stderr.write(f"{label}: {done}/{total}, {now - start:.0f} s, {left_s:.0f} s left\n")
            sys.stderr.flush()


def say(message: str) -> None:
    """One line for the user, on stderr."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()
