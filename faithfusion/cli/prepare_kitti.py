"""Turns a drive of KITTI raw into a drive of this layout.

python tools/prepare_kitti.py --drive DATE/DATE_drive_NUMBER_sync --out DRIVE
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faithfusion.config import parse_config, part_of
from faithfusion.data.kitti.kitti_config import KittiConfig


@dataclass(frozen=True, kw_only=True)
class PrepareKittiOptions(KittiConfig):
    """Which drive is prepared.

    Attributes:
        drive: The folder DATE_drive_NUMBER_sync, with the calibration files of the day beside it.
        out: The new folder of the drive.
        no_masks: Writes no masks of what moves; the same as `--masks false`.
    """

    drive: Path
    out: Path
    no_masks: bool = False


def main(argv: list[str]) -> None:
    """Parses the options and writes the drive."""
    options = parse_config(PrepareKittiOptions, argv, description=__doc__)

    from faithfusion.data.kitti.prepare_raw import prepare_kitti

    config = part_of(options, KittiConfig, masks=options.masks and not options.no_masks)
    prepare_kitti(options.drive, options.out, config)
