"""The table of a benchmark as values: a section for every group of drives at every place, a line for every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from faithfusion.evaluate.benchmark.bootstrap import Estimate, clip_of, estimate
from faithfusion.evaluate.benchmark.columns import COLUMNS, Column, has_column
from faithfusion.evaluate.benchmark.config import BenchmarkConfig
from faithfusion.evaluate.benchmark.names import (
    BEFORE,
    OTHER_CAMERAS,
    RECORDED,
    TRUTH,
    place_name,
    scene_row,
    video_row,
)
from faithfusion.evaluate.benchmark.published import PUBLISHED
from faithfusion.evaluate.benchmark.results import DriveResult
from faithfusion.evaluate.driving.feature_nets import FeatureNet
from faithfusion.evaluate.driving.picture_sets import SetFeatures, set_distance
from faithfusion.evaluate.metrics.metric import MetricName

FRECHET, KERNEL = "frechet", "kernel"
Columns = Mapping[str, MetricName]


@dataclass(frozen=True)
class Line:
    """A row of the table. `is_published`: somebody else's values, not measured here."""

    label: str
    cells: Mapping[str, Estimate]
    is_published: bool = False


@dataclass(frozen=True)
class Section:
    """The rows of one group of drives at one place."""

    title: str
    lines: tuple[Line, ...]


def column_names(net: FeatureNet | None) -> dict[str, MetricName]:
    """Returns all columns of results, with the distances between sets of pictures named after their network."""
    names = {key: column.name for key, column in COLUMNS.items()}
    if net is None:
        return names
    labels = ("FID", "KID") if net.is_inception else (f"Frechet, {net.name}", f"Kernel, {net.name}")
    return names | {
        FRECHET: MetricName(label=labels[0], better="lower", decimals=2),
        KERNEL: MetricName(label=labels[1], better="lower", decimals=3),
    }


def sections_of(config: BenchmarkConfig, results: Sequence[DriveResult], net: FeatureNet | None) -> list[Section]:
    """Returns the sections: groups in their order in the list of drives, shifts as configured, then cameras that were
    not fitted, then the published values."""
    sections = []
    for group in dict.fromkeys(result.drive.group for result in results):
        members = [result for result in results if result.drive.group == group]
        for shift_m in config.shifts_m:
            lines = _lines(members, place_name(shift_m), _rows(config), net)
            sections.append(Section(_title(group, place_title(shift_m), members, place_name(shift_m)), lines))
        others = [result for result in members if OTHER_CAMERAS in result.places]
        if others:
            lines = _lines(others, OTHER_CAMERAS, _other_rows(config), None)
            sections.append(Section(_title(group, "cameras that were not fitted", others, OTHER_CAMERAS), lines))
    return [section for section in sections if section.lines] + _published(config, net)


def place_title(shift_m: float) -> str:
    """A shift in words."""
    return f"{abs(shift_m):g} m to the {'left' if shift_m > 0 else 'right'}"


def _rows(config: BenchmarkConfig) -> list[str]:
    refined = [name for method in config.methods for name in (video_row(method), scene_row(method))]
    return [TRUTH, BEFORE, *refined]


def _other_rows(config: BenchmarkConfig) -> list[str]:
    return [TRUTH, BEFORE, *(scene_row(method, at) for method in config.methods for at in config.shifts_m)]


def _title(group: str, place: str, results: Sequence[DriveResult], key: str) -> str:
    count = sum(max(map(len, result.places[key][BEFORE].values()), default=0) for result in results)
    sizes = ", ".join(dict.fromkeys(f"{width} x {height}" for width, height in (result.size for result in results)))
    drives = f"{len(results)} drive" + ("s" if len(results) != 1 else "")
    return f"{group}, {place} ({drives}, {count} pictures of {sizes})"


def _lines(results: Sequence[DriveResult], place: str, rows: Sequence[str], net: FeatureNet | None) -> tuple[Line, ...]:
    lines = []
    for row in rows:
        holders = [result for result in results if row in result.places[place]]
        cells = {key: _estimate(holders, place, row, column) for key, column in COLUMNS.items()}
        if net is not None and holders:
            cells |= _distances(holders, f"{place} {row}", net)
        known = {key: cell for key, cell in cells.items() if cell is not None}
        if known:
            lines.append(Line(row, known))
    return tuple(lines)


def _estimate(results: Sequence[DriveResult], place: str, row: str, column: Column) -> Estimate | None:
    """A value over the drives that have it; None if none has."""
    frames = [result.places[place][row] for result in results]
    clips = [
        clip_of(of[column.part], of[column.whole] if column.whole else None) for of in frames if has_column(of, column)
    ]
    return estimate(clips) if clips else None


def _distances(results: Sequence[DriveResult], name: str, net: FeatureNet) -> dict[str, Estimate]:
    """Between the pictures of all drives together and their recorded ones."""
    width, height = results[0].size
    sets = [torch.cat([result.features[key] for result in results]).double() for key in (name, RECORDED)]
    if min(len(features) for features in sets) < 2:
        return {}
    distance = set_distance(net, *(SetFeatures(features, width, height) for features in sets))
    return {
        FRECHET: Estimate(distance.frechet, *distance.frechet_interval),
        KERNEL: Estimate(distance.kernel, *distance.kernel_interval),
    }


def _published(config: BenchmarkConfig, net: FeatureNet | None) -> list[Section]:
    """The published values at those distances of the benchmark at which there are any. Their FID stands in the column
    of the Frechet distance only if that is FID, too."""
    sections = []
    is_fid = net is not None and net.is_inception
    for distance_m in dict.fromkeys(abs(shift_m) for shift_m in config.shifts_m):
        lines = []
        for row in (row for row in PUBLISHED if row.distance_m == distance_m):
            cells = {"nta_iou": Estimate(row.nta_iou), "ntl_iou": Estimate(row.ntl_iou)}
            cells |= {FRECHET: Estimate(row.fid)} if is_fid else {}
            label = f"{row.method} (published" + (")" if is_fid else f"; FID {row.fid:.2f})")
            lines.append(Line(label, cells, is_published=True))
        if lines:
            title = f"PUBLISHED, not measured here: eight Waymo clips, {distance_m:g} m to the left, FID on Inception"
            sections.append(Section(title, tuple(lines)))
    return sections
