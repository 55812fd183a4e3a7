"""Drives over a Ray cluster: one task for each, one GPU per task if there are any, again if a worker is lost.

Only the code below knows Ray. A task returns the files of its drive, which the process that was started writes, so that
the folder holds the same as with the local engine. Its stages lie in the shared folder: a task that is begun again on
another worker goes on from the last one that was finished.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from faithfusion.evaluate.benchmark.config import BenchmarkConfig
from faithfusion.evaluate.benchmark.drives import BenchmarkDrive
from faithfusion.evaluate.benchmark.one_drive import measure_drive
from faithfusion.evaluate.benchmark.opened import check_drives, open_all
from faithfusion.utils.errors import InputError
from faithfusion.utils.extras import require_extra
from faithfusion.utils.progress import say, track


@dataclass(frozen=True)
class RayEngine:
    """Drives over the cluster that this process is connected to. `folder`: where relative paths begin."""

    config: BenchmarkConfig
    folder: str

    def check(self, drives: Sequence[BenchmarkDrive]) -> dict[str, str]:
        """Checks where weights and drives will be read, on one worker. Raises InputError as `check_drives`."""
        import ray

        try:
            found = ray.get(self._task(_check).remote(self.folder, self.config, tuple(drives)))
        except ray.exceptions.RayError as error:
            expected = "workers with this package that see the files of this machine under the same names"
            raise InputError("benchmark.cluster", _reason(error), expected) from None
        return _answer(found)

    def results(
        self, drives: Sequence[BenchmarkDrive], keys: Mapping[str, str]
    ) -> Iterator[tuple[BenchmarkDrive, dict[str, bytes]]]:
        """Yields drives in the order in which they are done. Drives whose workers are lost too often are named and left
        out: the same command makes them later."""
        import ray

        task = self._task(_measure)
        waiting = {task.remote(self.folder, self.config, drive, keys[drive.name]): drive for drive in drives}
        for _ in track(range(len(drives)), "drives"):
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            drive = waiting.pop(done)
            try:
                files = _answer(ray.get(done))
            except ray.exceptions.RayError as error:
                say(f"{drive.name}: left out, run the same command again ({_reason(error)})")
                continue
            yield drive, files

    def _task(self, function: Any) -> Any:
        """A function as a task of the cluster, begun again if its worker is lost."""
        import ray

        gpus = 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0
        return ray.remote(num_cpus=1, num_gpus=gpus, max_retries=self.config.retries)(function)


@contextmanager
def ray_engine(config: BenchmarkConfig) -> Iterator[RayEngine]:
    """Connects to the cluster, or to one that this process is connected to already, or starts one on this machine.

    Raises InputError if Ray is not installed, or no cluster answers at the address.
    """
    require_extra("cluster", "ray")
    import ray

    if ray.is_initialized():
        yield RayEngine(config, os.getcwd())
        return
    try:
        ray.init(address=config.cluster or "local", include_dashboard=None if config.cluster else False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        found = f"{config.cluster!r} ({_reason(error)})"
        raise InputError("benchmark.cluster", found, "a Ray cluster that runs") from None
    try:
        yield RayEngine(config, os.getcwd())
    finally:
        ray.shutdown()


def _check(folder: str, config: BenchmarkConfig, drives: tuple[BenchmarkDrive, ...]) -> dict[str, str] | InputError:
    """On a worker: see `check_drives`. Errors of the user come back as values, for Ray would wrap them."""
    try:
        os.chdir(folder)
        return check_drives(config, drives, open_all(config))
    except InputError as error:
        return error


def _measure(folder: str, config: BenchmarkConfig, drive: BenchmarkDrive, key: str) -> dict[str, bytes] | InputError:
    """On a worker: see `measure_drive`."""
    try:
        os.chdir(folder)
        return measure_drive(config, drive, open_all(config), key)
    except InputError as error:
        return error


def _answer(found: Any) -> Any:
    if isinstance(found, InputError):
        raise found
    return found


def _reason(error: Exception) -> str:
    """What went wrong, in one line: what Ray quotes of a worker ends with it."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[-1]}"
