"""The whole benchmark: the drives that are not done yet, on this machine or on a cluster, and the table of all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from faithfusion.evaluate.benchmark.config import BenchmarkConfig
from faithfusion.evaluate.benchmark.drives import BenchmarkDrive, read_drives
from faithfusion.evaluate.benchmark.engine import open_engine
from faithfusion.evaluate.benchmark.nets import open_nets
from faithfusion.evaluate.benchmark.page import write_tables
from faithfusion.evaluate.benchmark.results import is_done, save_results
from faithfusion.evaluate.result_files import claim
from faithfusion.utils.atomic import require_writable
from faithfusion.utils.progress import say


def run_benchmark(config: BenchmarkConfig, command: str) -> Path:
    """Makes the results of the drives that are missing and that no other process is making, then writes the table of
    all drives that are there. Returns the path of its page.

    Raises InputError before anything is written for input that cannot work, and if no drive is done in the end.
    """
    drives, nets, out = read_drives(config), open_nets(config), Path(config.out)
    with open_engine(config, nets) as engine:
        keys = engine.check(drives)
        require_writable(out)
        with ExitStack() as claims:
            ours = [drive for drive in drives if _is_to_do(out, drive, keys, claims)]
            for drive, files in engine.results(ours, keys):
                save_results(out, files)
                if not config.keep_work:
                    shutil.rmtree(out / "work" / drive.slug, ignore_errors=True)
    return write_tables(config, drives, nets, keys, command)


def _is_to_do(out: Path, drive: BenchmarkDrive, keys: Mapping[str, str], claims: ExitStack) -> bool:
    """Whether a drive is still to be done, and by this process: then it is claimed until `claims` ends."""
    if is_done(out, drive, keys[drive.name]):
        say(f"{drive.name}: done before")
        return False
    if not claims.enter_context(claim(out / "work" / f"{drive.slug}.lock")):
        say(f"{drive.name}: another process is at it")
        return False
    return not is_done(out, drive, keys[drive.name])  # perhaps it has just been done
