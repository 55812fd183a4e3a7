"""The small language for new trajectories: entries that add up, as YAML and on the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from faithfusion.utils.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TrajectoryEntry:
    """One change of the recorded drive. The entries of a trajectory add up, in any order (docs/trajectories.md).

    Attributes:
        shift_m: The ego drives so many metres to the left (negative: to the right).
        raise_m: The ego drives so many metres higher.
        yaw_deg: The whole rig is turned by so many degrees to the left, about the ego's own z axis through the ego's
            origin.
        over_m: The stretch of the recorded drive, in metres driven from its start, over which the entry grows smoothly
            from nothing to the whole. Without it the entry holds for the whole drive.
        poses: A file of ego poses that replace the recorded ones, one per time stamp.
        poses_world: The world that the poses of the file lead to: "drive" is that of the drive's own ego_pose files,
            "start" is the first recorded ego pose (x forward, y left, z up).
    """

    shift_m: float = 0.0
    raise_m: float = 0.0
    yaw_deg: float = 0.0
    over_m: tuple[float, float] | None = None
    poses: str | None = None
    poses_world: Literal["drive", "start"] = "drive"

    def __post_init__(self) -> None:
        changes = {name: getattr(self, name) for name in ("shift_m", "raise_m", "yaw_deg")}
        for name, value in changes.items():
            if not math.isfinite(value):
                raise InputError(f"trajectory.{name}", value, "a finite number")
        moves = any(changes.values())
        if self.poses is not None and (moves or self.over_m is not None):
            raise InputError("trajectory.poses", "an entry with other keys beside it", "an entry of its own")
        if self.poses is None and not moves:
            raise InputError("trajectory", "an entry that changes nothing", "shift_m, raise_m, yaw_deg or poses")
        if self.over_m is not None and not 0.0 <= self.over_m[0] < self.over_m[1] < math.inf:
            raise InputError("trajectory.over_m", list(self.over_m), "[from, to] in metres driven, 0 <= from < to")


def check_entries(entries: Sequence[TrajectoryEntry]) -> None:
    """Raises InputError for more than one file of poses: only one can replace the recorded ones."""
    files = [entry.poses for entry in entries if entry.poses is not None]
    if len(files) > 1:
        raise InputError("trajectory.poses", ", ".join(files), "at most one file")


def constant_shift_m(entries: Sequence[TrajectoryEntry]) -> float | None:
    """The lateral shift in metres if the entries are nothing but a shift of the whole drive, else None."""
    if any(entry.poses or entry.over_m or entry.raise_m or entry.yaw_deg for entry in entries):
        return None
    return sum(entry.shift_m for entry in entries)


def describe_entries(entries: Sequence[TrajectoryEntry]) -> str:
    """The entries in words: "shift +3.00 m over 20-50 m, yaw +10.0 deg"."""
    return ", ".join(_describe(entry) for entry in entries)


def _describe(entry: TrajectoryEntry) -> str:
    if entry.poses is not None:
        return f"poses of {Path(entry.poses).name}"
    parts = [f"shift {entry.shift_m:+.2f} m"] if entry.shift_m else []
    parts += [f"raise {entry.raise_m:+.2f} m"] if entry.raise_m else []
    parts += [f"yaw {entry.yaw_deg:+.1f} deg"] if entry.yaw_deg else []
    over = "" if entry.over_m is None else f" over {entry.over_m[0]:g}-{entry.over_m[1]:g} m"
    return " and ".join(parts) + over
