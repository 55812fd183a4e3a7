"""A log of py123d to a drive. Runs in py123d's own environment, which needs nothing of ours but this folder:

PYTHONPATH=. ENV/bin/python tools/prepare_py123d.py --log LOG --out DRIVE
"""

from __future__ import annotations

import argparse
from pathlib import Path

from faithfusion.data.py123d.prepare_log import prepare_log
from faithfusion.data.py123d.py123d_config import Py123dConfig


def build_parser() -> argparse.ArgumentParser:
    """The options; their meaning is `Py123dConfig`'s."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Py123dConfig()
    parser.add_argument("--log", type=Path, required=True, help="folder of one log, with sync.arrow")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the drive")
    parser.add_argument("--cameras", nargs="+", help="names such as pcam_f0 (default: all pinhole cameras)")
    parser.add_argument("--start", type=int, default=default.start, help="first iteration")
    parser.add_argument("--frames", type=int, default=default.frames, help="number of iterations (default: all)")
    parser.add_argument("--fov_deg", type=float, default=default.fov_deg, help="for cameras that are no pinholes")
    return parser


def main(argv: list[str]) -> None:
    """Parses the options and writes the drive."""
    options = build_parser().parse_args(argv)
    names = None if options.cameras is None else tuple(options.cameras)
    config = Py123dConfig(names, options.start, options.frames, options.fov_deg)
    prepare_log(options.log, options.out, config)
