"""What the rows, places and files of results are called."""

from __future__ import annotations

from faithfusion.evaluate.benchmark.drives import BenchmarkDrive

TRUTH, BEFORE = "truth", "no refinement"
OTHER_CAMERAS = "other cameras"
RECORDED = "recorded"
"""The name of the features of the recorded pictures."""


def video_row(method: str) -> str:
    """The name of the row of a method's edited clip."""
    return f"{method}: video"


def scene_row(method: str, shift_m: float | None = None) -> str:
    """The name of the row of a method's distilled scene; at other cameras, of the one that was refined for a shift."""
    return f"{method}: scene" + ("" if shift_m is None else f" after {shift_m:+g} m")


def place_name(shift_m: float) -> str:
    """The key of a shift in results."""
    return f"{shift_m:+.2f}"


def picture_name(drive: BenchmarkDrive, shift_m: float) -> str:
    """The name of the file with one picture of a drive at a shift."""
    return f"{drive.slug}_{shift_m:+g}m.png"
