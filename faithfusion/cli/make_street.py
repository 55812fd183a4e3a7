"""Writes a procedural street with exact truth: python tools/make_street.py --seed 3 --frames 49 --shifts_m -3 3 6"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import get_args, get_type_hints

from faithfusion.street.street_config import StreetConfig
from faithfusion.street.writer import make_street
from faithfusion.utils.progress import say


def build_parser() -> argparse.ArgumentParser:
    """One option per field of StreetConfig; `--frames` is short for `--num_frames`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, help="new folder for the drive (default: output/street_SEED)")
    hints = get_type_hints(StreetConfig)
    for field in dataclasses.fields(StreetConfig):
        names = [f"--{field.name}"] + (["--frames"] if field.name == "num_frames" else [])
        items = get_args(hints[field.name])
        many = {"nargs": "*", "type": items[0]} if items else {"type": hints[field.name]}
        parser.add_argument(*names, dest=field.name, default=field.default, help="see StreetConfig", **many)
    return parser


def main(argv: list[str]) -> None:
    """Parses the options and writes the street."""
    options = vars(build_parser().parse_args(argv))
    out = options.pop("out")
    config = StreetConfig(**{key: tuple(v) if isinstance(v, list) else v for key, v in options.items()})
    out = out or Path("output") / f"street_{config.seed:03d}"
    make_street(config, out)
    say(f"{out}: {config.num_frames} frames, {len(config.camera_names)} cameras, truth at 0 m and {config.shifts_m}")
