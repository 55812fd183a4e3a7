"""Waymo Open Dataset v2 (parquet) to a drive: python tools/prepare_waymo.py --data FOLDER --segment NAME --out DRIVE"""

from __future__ import annotations

import argparse
from pathlib import Path

from faithfusion.data.waymo.prepare_segment import prepare_segment
from faithfusion.data.waymo.waymo_config import WaymoConfig


def build_parser() -> argparse.ArgumentParser:
    """The options; their meaning is `WaymoConfig`'s."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with the components: camera_image/SEGMENT.parquet, ..."
    )
    parser.add_argument("--segment", help="name of the segment; not needed if there is one only")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the drive")
    default = WaymoConfig()
    parser.add_argument("--cameras", type=int, nargs="+", default=default.cameras,
                        help="0 front, 1 front left, 2 front right, 3 side left, 4 side right")  # fmt: skip
    parser.add_argument("--start", type=int, default=default.start, help="first frame")
    parser.add_argument("--frames", type=int, default=default.frames, help="number of frames (all)")
    parser.add_argument("--lidar", choices=("all", "top", "none"), default=default.lidar, help="which LiDARs")
    parser.add_argument("--second_return", action="store_true", help="also the second return of every beam")
    parser.add_argument("--synced_boxes", action="store_true", help="boxes at the moment of the best camera's picture")
    parser.add_argument(
        "--frame_poses", action="store_true", help="all images with the frame's pose, not with that of their own moment"
    )
    parser.add_argument("--no_masks", action="store_true", help="no dynamic masks from boxes")
    return parser


def main(argv: list[str]) -> None:
    """Parses the options and writes the drive."""
    options = build_parser().parse_args(argv)
    config = WaymoConfig(
        cameras=tuple(options.cameras),
        start=options.start,
        frames=options.frames,
        lidar=options.lidar,
        second_return=options.second_return,
        synced_boxes=options.synced_boxes,
        image_poses=not options.frame_poses,
        masks=not options.no_masks,
    )
    prepare_segment(options.data, options.out, config, segment=options.segment)
