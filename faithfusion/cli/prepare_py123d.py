"""Turns a log of py123d into a drive.

It runs in py123d's own environment, which needs of this project its folder and jsonargparse[signatures]:
PYTHONPATH=. ENV/bin/python tools/prepare_py123d.py --log LOG --out DRIVE
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faithfusion.config import parse_config, part_of
from faithfusion.data.py123d.py123d_config import Py123dConfig


@dataclass(frozen=True, kw_only=True)
class PreparePy123dOptions(Py123dConfig):
    """Which log is prepared.

    Attributes:
        log: The folder of one log, which holds sync.arrow.
        out: The new folder of the drive.
    """

    log: Path
    out: Path


def main(argv: list[str]) -> None:
    """Parses the options and writes the drive."""
    options = parse_config(PreparePy123dOptions, argv, description=__doc__)

    from faithfusion.data.py123d.prepare_log import prepare_log

    prepare_log(options.log, options.out, part_of(options, Py123dConfig))
