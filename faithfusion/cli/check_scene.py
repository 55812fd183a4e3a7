"""Looks for faults in a recorded drive, draws what was understood of it, and ends with a verdict in one line.

python tools/check_scene.py DRIVE

The exit code is 0 for a drive that can be used and 2 for a broken one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.utils.errors import InputError

BROKEN = 2  # exit code


@dataclass(frozen=True)
class CheckOptions:
    """Which drive is checked.

    Attributes:
        path: The folder of the drive (docs/data.md).
        out: The folder for pictures and page. Without it they go to output/check/NAME.
        cameras: The cameras that are checked. Without it all are.
        layout: The data set whose preprocessing wrote the folder. Without it this is found out.
    """

    path: Path = field(metadata={"positional": True})
    out: Path | None = None
    cameras: tuple[str, ...] | None = None
    layout: str | None = None


def main(argv: list[str]) -> None:
    """Prints findings and the verdict, writes pictures and a page; exit code 0 for a usable drive, 2 for a broken one.

    A folder that cannot be read as a drive is broken; nothing is written for it.
    """
    options = parse_config(CheckOptions, argv, description=__doc__)

    from faithfusion.check.check_clip import check_clip
    from faithfusion.check.page import write_check
    from faithfusion.data.drive_reader import read_drive
    from faithfusion.utils.atomic import require_writable
    from faithfusion.utils.progress import say

    try:
        clip = read_drive(options.path, camera_names=options.cameras, layout=options.layout)
        result = check_clip(clip)
    except InputError as error:
        print(f"broken: {error}")
        raise SystemExit(BROKEN) from None
    out = options.out or Path("output") / "check" / clip.name
    require_writable(out)
    say(f"pictures: {write_check(result, out)}")
    for finding in result.findings:
        print(finding.line())
    print(result.verdict)
    raise SystemExit(BROKEN if result.is_broken else 0)
