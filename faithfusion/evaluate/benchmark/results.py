"""The results of drives as files: one says that a drive is done, its features and pictures lie beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from faithfusion.evaluate.benchmark.columns import Frames
from faithfusion.evaluate.benchmark.drives import BenchmarkDrive
from faithfusion.evaluate.result_files import read_json
from faithfusion.scene.scene_file import load_tensors
from faithfusion.utils.atomic import atomic_file


@dataclass(frozen=True)
class DriveResult:
    """What was measured of a drive: by place and row the numbers of every frame, and features by "place row"."""

    drive: BenchmarkDrive
    places: Mapping[str, Mapping[str, Frames]]
    features: Mapping[str, Tensor]
    size: tuple[int, int]
    notes: tuple[str, ...]
    seconds: Mapping[str, Mapping[str, float]]


def result_path(out: Path, drive: BenchmarkDrive) -> Path:
    """The file that says that a drive is done."""
    return out / f"drive_{drive.slug}.json"


def is_done(out: Path, drive: BenchmarkDrive, key: str) -> bool:
    """Whether the results of a drive are there, made with the options of this key."""
    path = result_path(out, drive)
    return path.is_file() and read_json(path).get("key") == key


def save_results(out: Path, files: Mapping[str, bytes]) -> None:
    """Writes the files of a drive in their order; the last one says that it is done."""
    for name, content in files.items():
        with atomic_file(out / name) as temporary:
            temporary.write_bytes(content)


def read_results(out: Path, drives: Sequence[BenchmarkDrive], keys: Mapping[str, str]) -> list[DriveResult]:
    """Reads the results of the drives that are done. Raises InputError for a damaged file."""
    return [_read(out, drive) for drive in drives if is_done(out, drive, keys[drive.name])]


def _read(out: Path, drive: BenchmarkDrive) -> DriveResult:
    told: dict[str, Any] = read_json(result_path(out, drive))
    path = result_path(out, drive).with_suffix(".safetensors")
    features = load_tensors(path)[0] if told["has_features"] else {}
    width, height = told["size"]
    return DriveResult(drive, told["places"], features, (width, height), tuple(told["notes"]), told["seconds"])
