"""A drive of KITTI raw to a drive: python tools/prepare_kitti.py --drive DATE/DATE_drive_NUMBER_sync --out DRIVE"""

from __future__ import annotations

import argparse
from pathlib import Path

from faithfusion.data.kitti.kitti_config import KittiConfig
from faithfusion.data.kitti.prepare_kitti import prepare_kitti


def build_parser() -> argparse.ArgumentParser:
    """The options; their meaning is `KittiConfig`'s."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "--drive", type=Path, required=True, help="folder DATE_drive_NUMBER_sync, calibration files beside it"
    )
    parser.add_argument("--out", type=Path, required=True, help="new folder for the drive")
    default = KittiConfig()
    parser.add_argument("--cameras", type=int, nargs="+", default=default.cameras,
                        help="0, 1 grey left and right, 2, 3 colour left and right")  # fmt: skip
    parser.add_argument("--start", type=int, default=default.start, help="first frame")
    parser.add_argument("--frames", type=int, default=default.frames, help="number of frames (all)")
    parser.add_argument("--scale", type=float, default=default.scale, help="size of the images, at most 1")
    parser.add_argument("--no_masks", action="store_true", help="no dynamic masks from tracklets")
    return parser


def main(argv: list[str]) -> None:
    """Parses the options and writes the drive."""
    options = build_parser().parse_args(argv)
    config = KittiConfig(tuple(options.cameras), options.start, options.frames, options.scale, not options.no_masks)
    prepare_kitti(options.drive, options.out, config)
