"""Draws a new trajectory over a recorded drive from above, without fitting anything.

python tools/preview_trajectory.py --scene DRIVE --trajectory '[{shift_m: 3, over_m: [20, 50]}]' --out preview.png

It says where the new path runs into tracked boxes or into things the LiDAR saw.
"""

from dataclasses import dataclass
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.data.trajectory_config import TrajectoryEntry
from faithfusion.utils.errors import InputError

SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class PreviewConfig:
    """What to draw.

    Attributes:
        scene: The folder of the drive.
        trajectory: Where to drive instead, as entries that add up (docs/trajectories.md).
        camera: The camera whose headings are drawn. Without it the first one is taken.
        out: The picture to write: .png, .svg or .pdf.
        num_frames: So many time stamps are used from the start; 0 takes all.
    """

    scene: str = ""
    trajectory: tuple[TrajectoryEntry, ...] = ()
    camera: str = ""
    out: str = "preview.png"
    num_frames: int = 0

    def __post_init__(self) -> None:
        if not self.scene:
            raise InputError("--scene", "nothing", "a drive in DriveStudio's layout")
        if not self.trajectory:
            raise InputError("--trajectory", "nothing", "entries such as [{shift_m: 3.0}]")
        if Path(self.out).suffix.lower() not in SUFFIXES:
            raise InputError("--out", self.out, f"a picture: {', '.join(SUFFIXES)}")


def main(argv: list[str]) -> None:
    """Draws the picture and says what is in the way."""
    config = parse_config(PreviewConfig, argv, description=__doc__)

    from faithfusion.data.drive_reader import read_drive
    from faithfusion.data.new_path import clip_path, path_cameras
    from faithfusion.data.path_hits import path_hits, warning_line
    from faithfusion.evaluate.report.trajectory_picture import preview_figure
    from faithfusion.utils.atomic import atomic_file, require_writable
    from faithfusion.utils.progress import say

    clip = read_drive(Path(config.scene), num_frames=config.num_frames or None)
    path = clip_path(clip, config.trajectory)
    camera_name = config.camera or clip.camera_names[0]
    path_cameras(clip, camera_name, path)  # an unknown camera is refused before anything is written
    out = Path(config.out)
    require_writable(out.parent)
    hits = path_hits(clip, path)
    figure = preview_figure(clip, camera_name, path, hits)
    with atomic_file(out) as temporary:
        figure.savefig(temporary)
    if hits:
        say(f"warning: {warning_line(hits)}")
    say(f"wrote {out}")
