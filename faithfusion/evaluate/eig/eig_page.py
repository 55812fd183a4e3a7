"""The page of the EIG benchmark: tables, figures and the command that made them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from faithfusion.evaluate.eig.figures import (
    draw_reliability,
    draw_sparsification,
    method_table,
    reliability_table,
    scene_table,
)
from faithfusion.evaluate.eig.scores import OURS, ShiftScores
from faithfusion.utils.atomic import atomic_file

EXPLANATION = """\
Every map ranks the pixels of renders at poses beside the recorded path, where the true image exists; their error is
the mean absolute difference of colours. AUSE is the area between the sparsification curve and the oracle's, with
the error normalised by its mean: 0 is perfect. "No sky" leaves out the pixels whose truth is sky (stereo drive:
those the render covers less than half). "Marked pixels" have an expected RMS error above the default threshold of
{threshold:g}, the same for every scene; "of the error" is the share of the summed absolute error inside them.
"Worst decile" is the largest deviation of the predicted from the actual RMS error among the five most uncertain
deciles."""


def write_page(
    folder: Path, rows: Sequence[ShiftScores], pictures: Sequence[Path], *, command: str, threshold: float
) -> Path:
    """README.md and figures of a benchmark in `folder`; the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    shifts = sorted({abs(row.shift_m) for row in rows})
    parts = [
        "# Benchmark of the expected information gain",
        f"Made by `{command}`.",
        EXPLANATION.format(threshold=threshold),
    ]
    for distance in shifts:
        chosen = [row for row in rows if abs(row.shift_m) == distance]
        name = f"sparsification_{distance:g}m.png"
        draw_sparsification(folder / name, chosen, f"{_clips(chosen)} at {distance:g} m to the side")
        parts += [f"## {distance:g} m to the side, {_clips(chosen)}", method_table(chosen), f"![{name}]({name})"]
    draw_reliability(folder / "reliability.png", rows, "Calibration at poses never recorded")
    parts += [f"## {OURS}, every scene", scene_table(rows, OURS)]
    parts += ["## Predicted / actual RMS error", reliability_table(rows), "![reliability](reliability.png)"]
    if pictures:
        parts.append("## Maps beside the true error")
    for picture in pictures:
        name = f"{picture.parent.name}_{picture.name}"
        if picture.resolve() != (folder / name).resolve():
            shutil.copyfile(picture, folder / name)
        parts.append(f"![{name}]({name})")
    page = folder / "README.md"
    with atomic_file(page) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n")
    return page


def _clips(rows: Sequence[ShiftScores]) -> str:
    return f"mean of {len(rows)} clips" if len(rows) > 1 else "one clip"
