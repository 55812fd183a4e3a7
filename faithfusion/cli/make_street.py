"""Writes a procedural street with exact truth: python tools/make_street.py --seed 3 --frames 49 --shifts_m -3 3 6"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faithfusion.config import parse_config, part_of
from faithfusion.street.street_config import StreetConfig


@dataclass(frozen=True, kw_only=True)
class StreetOptions(StreetConfig):
    """Which street is written where.

    Attributes:
        out: The new folder of the drive. Without it the drive goes to output/street_SEED.
        frames: A short name of `num_frames`.
    """

    out: Path | None = None
    frames: int | None = None


def main(argv: list[str]) -> None:
    """Parses the options and writes the street."""
    options = parse_config(StreetOptions, argv, description=__doc__)

    from faithfusion.street.writer import make_street
    from faithfusion.utils.progress import say

    changes = {} if options.frames is None else {"num_frames": options.frames}
    config = part_of(options, StreetConfig, **changes)
    out = options.out or Path("output") / f"street_{config.seed:03d}"
    make_street(config, out)
    say(f"{out}: {config.num_frames} frames, {len(config.camera_names)} cameras, truth at 0 m and {config.shifts_m}")
