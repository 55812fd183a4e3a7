"""Draws the curves of training runs: loss over minutes, and PSNR of the held-out windows over steps, a row per run.

python train_video/curves.py --runs runs/wan_tiny_codec runs/wan_tiny runs/fixer_tiny --out curves.png
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class CurvesOptions:
    """Which runs are drawn.

    Attributes:
        runs: The folders of the training runs.
        out: The picture to write, a .png file.
    """

    runs: tuple[Path, ...]
    out: Path

    def __post_init__(self) -> None:
        if self.out.suffix != ".png":
            raise InputError("--out", self.out, "a .png file")


def main(argv: list[str]) -> None:
    """Reads log.jsonl and validation.jsonl of every run and draws them; refuses a folder without the first."""
    options = parse_config(CurvesOptions, argv, description=__doc__)

    from faithfusion.training.curves import draw_curves, read_curves
    from faithfusion.utils.atomic import require_writable

    curves = [read_curves(folder) for folder in options.runs]
    require_writable(options.out.parent)
    draw_curves(curves, options.out)
