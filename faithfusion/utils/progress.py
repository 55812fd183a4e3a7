"""One progress bar with time left, on stderr; a plain line every so often when stderr is not a terminal.

A program with a face of its own takes the progress of a computation with `report_progress` instead.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")
Report = Callable[[str, int, int], None]
"""Called with a bar's label, how many items are done, and of how many."""
_REPORT: ContextVar[Report | None] = ContextVar("report of progress", default=None)


def track(items: Iterable[T], label: str, total: int | None = None, *, plain_interval_s: float = 10.0) -> Iterator[T]:
    """Iterates with a bar named `label`. `total` is needed when `items` has no length."""
    count = len(items) if total is None else total  # type: ignore[arg-type]
    report = _REPORT.get()
    if report is not None:
        yield from _track_report(items, label, count, report)
        return
    bar = _track_bar if sys.stderr.isatty() else _track_plain
    yield from bar(items, label, count, plain_interval_s)


@contextmanager
def report_progress(report: Report) -> Iterator[None]:
    """Inside, the progress of this thread goes to `report` instead of stderr. What `report` raises ends the work."""
    token = _REPORT.set(report)
    try:
        yield
    finally:
        _REPORT.reset(token)


def _track_report(items: Iterable[T], label: str, total: int, report: Report) -> Iterator[T]:
    report(label, 0, total)
    for done, item in enumerate(items, 1):
        yield item
        report(label, done, total)


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
