"""Looks for faults in a recorded drive, draws what was understood of it, and ends with a verdict in one line.

python tools/check_scene.py DRIVE
"""

from __future__ import annotations

import argparse
from pathlib import Path

from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say

BROKEN = 2  # exit code


def main(argv: list[str]) -> None:
    """Prints findings and the verdict, writes pictures and a page; exit code 0 for a usable drive, 2 for a broken one.

    A folder that cannot be read as a drive is broken; nothing is written for it.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="folder of the drive (docs/data.md)")
    parser.add_argument("--out", type=Path, help="folder for the pictures (default: output/check/NAME)")
    parser.add_argument("--cameras", nargs="+", help="only these cameras (default: all)")
    parser.add_argument("--layout", help="data set whose preprocessing wrote the folder (default: found out)")
    options = parser.parse_args(argv)

    from faithfusion.check.check_clip import check_clip
    from faithfusion.check.page import write_check
    from faithfusion.data.drive_reader import read_drive
    from faithfusion.utils.atomic import require_writable

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
