"""What a check says about a drive, and the verdict in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Level(IntEnum):
    """The severity of a finding."""

    NOTE = 0  # worth knowing, nothing is wrong
    REMARK = 1  # works, with a loss
    BROKEN = 2  # results would be wrong


@dataclass(frozen=True)
class Finding:
    """One line about one part of the drive. `subject` is a camera, "poses", "lidar", "boxes", "images" or "masks"."""

    level: Level
    subject: str
    text: str

    def line(self) -> str:
        """The finding as printed."""
        return f"{self.level.name.lower()}: {self.subject}: {self.text}"


def broken(subject: str, text: str) -> Finding:
    """A finding that means a fault."""
    return Finding(Level.BROKEN, subject, text)


def remark(subject: str, text: str) -> Finding:
    """A finding that means a loss of quality."""
    return Finding(Level.REMARK, subject, text)


def note(subject: str, text: str) -> Finding:
    """A finding that only states a fact."""
    return Finding(Level.NOTE, subject, text)


def verdict(findings: Sequence[Finding]) -> str:
    """One line: "ok: ...", "usable: 2 remarks: ..." or "broken: FAULT"; the first fault is the one to mend first."""
    faults = [f"{f.subject}: {f.text}" for f in findings if f.level is Level.BROKEN]
    remarks = [f"{f.subject}: {f.text}" for f in findings if f.level is Level.REMARK]
    if faults:
        return f"broken: {faults[0]}" + (f" (and {count(len(faults) - 1, 'more fault')})" if len(faults) > 1 else "")
    if remarks:
        return f"usable: {count(len(remarks), 'remark')}: " + "; ".join(remarks)
    return "ok: nothing wrong was found"


def count(number: int, noun: str) -> str:
    """A number with its noun in the right form: "1 remark", "2 remarks", "2 boxes"."""
    ending = "es" if noun.endswith("x") else "s"
    return f"{number} {noun}{'' if number == 1 else ending}"


def name_frames(indices: Iterable[int | np.integer], most: int = 4) -> str:
    """A list of frames in words: "frame 3", "frames 3, 4", "frames 3, 4, 5, 6 and 10 more"."""
    items = list(indices)
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return f"frame{'s' if len(items) > 1 else ''} {', '.join(map(str, items[:most]))}{more}"
