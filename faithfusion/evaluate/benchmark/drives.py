"""The list of drives of a benchmark: a name for each, and what is its own of the options of a refinement."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from faithfusion.config import from_plain
from faithfusion.data.trajectory_config import TrajectoryEntry
from faithfusion.evaluate.benchmark.config import BenchmarkConfig, require_name
from faithfusion.pipeline.config import RefineConfig
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain

EXPECTED = "a list of drives, such as [{name: street 3, street: {seed: 3}}, {scene: DRIVE, cameras: ['0']}]"


@dataclass(frozen=True)
class BenchmarkDrive:
    """A drive of the list. `refine` has neither path nor folder; those of `group` are averaged in one section of the
    table."""

    name: str
    group: str
    refine: RefineConfig

    @property
    def slug(self) -> str:
        """The name as part of file names."""
        return self.name.replace(" ", "_")


def read_drives(config: BenchmarkConfig) -> tuple[BenchmarkDrive, ...]:
    """Reads the file of the drives. Raises InputError if it is missing, damaged, empty or names a drive twice, and for
    options that do not exist."""
    path = Path(config.drives)
    try:
        entries = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(path, f"cannot be read ({' '.join(str(error).split())})", EXPECTED) from None
    if isinstance(entries, Mapping) and set(entries) == {"drives"}:
        entries = entries["drives"]
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, Mapping) for entry in entries):
        raise InputError(path, "no list of drives", EXPECTED)
    drives = tuple(_drive(config, entry, path) for entry in entries)
    slugs = [drive.slug for drive in drives]
    for slug in slugs:
        if slugs.count(slug) > 1:
            raise InputError(path, f"{slugs.count(slug)} drives named {slug!r}", "a `name` of its own for each")
    return drives


def _drive(config: BenchmarkConfig, entry: Mapping[str, Any], path: Path) -> BenchmarkDrive:
    own = {str(key): value for key, value in entry.items() if key not in ("name", "group")}
    for key in ("out", "trajectory", "editors"):
        if key in own:
            raise InputError(f"{path}: {key}", own[key], "nothing: shifts and methods of the benchmark say it")
    refine = from_plain(RefineConfig, _merged(to_plain(config.refine), own), path)
    known = Path(refine.scene).resolve().name if refine.scene else f"street {refine.street.seed}"
    name = require_name(f"{path}: name", entry.get("name", known))
    group = require_name(f"{path}: group", entry.get("group", "recorded drives" if refine.scene else "streets"))
    return BenchmarkDrive(name, group, refine)


def _merged(plain: Any, own: Any) -> Any:
    """Plain options in which those of `own` take the place of the others, part by part."""
    if not isinstance(plain, dict) or not isinstance(own, Mapping):
        return own
    return plain | {str(key): _merged(plain.get(str(key)), value) for key, value in own.items()}


def at_shift(refine: RefineConfig, shift_m: float) -> RefineConfig:
    """The options of a refinement whose whole drive is shifted."""
    return dataclasses.replace(refine, trajectory=(TrajectoryEntry(shift_m=shift_m),))
