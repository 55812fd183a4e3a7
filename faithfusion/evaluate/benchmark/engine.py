"""Where the drives of a benchmark are made: one after the other on this machine, or over a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from faithfusion.evaluate.benchmark.config import BenchmarkConfig
from faithfusion.evaluate.benchmark.drives import BenchmarkDrive
from faithfusion.evaluate.benchmark.nets import Nets
from faithfusion.evaluate.benchmark.one_drive import measure_drive
from faithfusion.evaluate.benchmark.opened import Opened, check_drives, open_all


class Engine(Protocol):
    """Checks and makes drives somewhere."""

    def check(self, drives: Sequence[BenchmarkDrive]) -> dict[str, str]:
        """See `opened.check_drives`."""
        ...

    def results(
        self, drives: Sequence[BenchmarkDrive], keys: Mapping[str, str]
    ) -> Iterator[tuple[BenchmarkDrive, dict[str, bytes]]]:
        """Yields each drive with the files of its results (`one_drive.measure_drive`) as soon as it is done."""
        ...


@dataclass(frozen=True)
class LocalEngine:
    """One drive after the other in this process."""

    config: BenchmarkConfig
    opened: Opened

    def check(self, drives: Sequence[BenchmarkDrive]) -> dict[str, str]:
        """See `Engine.check`."""
        return check_drives(self.config, drives, self.opened)

    def results(
        self, drives: Sequence[BenchmarkDrive], keys: Mapping[str, str]
    ) -> Iterator[tuple[BenchmarkDrive, dict[str, bytes]]]:
        """See `Engine.results`."""
        for drive in drives:
            yield drive, measure_drive(self.config, drive, self.opened, keys[drive.name])


@contextmanager
def open_engine(config: BenchmarkConfig, nets: Nets) -> Iterator[Engine]:
    """Opens the engine that is configured. Raises InputError if Ray is asked for and not installed, or not found."""
    if config.engine == "local":
        yield LocalEngine(config, open_all(config, nets))
        return
    from faithfusion.evaluate.benchmark.ray_engine import ray_engine

    with ray_engine(config) as engine:
        yield engine
