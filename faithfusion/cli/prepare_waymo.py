"""Turns a segment of the Waymo Open Dataset v2 (parquet) into a drive.

python tools/prepare_waymo.py --data FOLDER --segment NAME --out DRIVE
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faithfusion.config import parse_config, part_of
from faithfusion.data.waymo.waymo_config import WaymoConfig


@dataclass(frozen=True, kw_only=True)
class PrepareWaymoOptions(WaymoConfig):
    """Which segment is prepared.

    Attributes:
        data: The folder with the components: camera_image/SEGMENT.parquet and so on.
        segment: The name of the segment. It is not needed if there is only one.
        out: The new folder of the drive.
        map: The segment's TFRecord file (perception, v1.4 or later), which the lines of the map are read from. A
            finished drive gets them too.
        frame_poses: Gives all images the pose of the frame; the same as `--image_poses false`.
        no_masks: Writes no masks of what moves; the same as `--masks false`.
    """

    data: Path
    segment: str | None = None
    out: Path
    map: Path | None = None
    frame_poses: bool = False
    no_masks: bool = False


def main(argv: list[str]) -> None:
    """Parses the options and writes the drive."""
    options = parse_config(PrepareWaymoOptions, argv, description=__doc__)

    from faithfusion.data.waymo.prepare_segment import prepare_segment

    config = part_of(
        options,
        WaymoConfig,
        image_poses=options.image_poses and not options.frame_poses,
        masks=options.masks and not options.no_masks,
    )
    prepare_segment(options.data, options.out, config, segment=options.segment, map_file=options.map)
