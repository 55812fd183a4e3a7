"""The table of a benchmark as a page, for LaTeX and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from faithfusion.evaluate.benchmark.bootstrap import Estimate
from faithfusion.evaluate.benchmark.columns import COLUMNS
from faithfusion.evaluate.benchmark.config import BenchmarkConfig
from faithfusion.evaluate.benchmark.drives import BenchmarkDrive
from faithfusion.evaluate.benchmark.names import picture_name
from faithfusion.evaluate.benchmark.nets import Nets
from faithfusion.evaluate.benchmark.results import DriveResult, read_results
from faithfusion.evaluate.benchmark.table import Columns, Section, column_names, place_title, sections_of
from faithfusion.evaluate.metrics.metric import MetricName
from faithfusion.evaluate.result_files import write_json
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError

LEGEND = """\
Values are means over the drives of a section, each the mean of its clip; in brackets 95 % intervals over resampled
drives and frames (1000 times). Frames of one clip are alike and drives are few: the true uncertainty is larger. "no
refinement" is the fitted scene, "video" what a method's editors made, "scene" what is left of it after the
distillation, "truth" the true pictures: the ceiling of what detector and lane net can find. NTA-IoU and NTL-IoU are in
their published form; matched IoU, recall, precision and lane IoU are honest ones (docs/driving_metrics.md). Distances
between sets compare with the recorded pictures of the same drives."""
ESCAPED = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "–": "--"}


def write_tables(
    config: BenchmarkConfig, drives: Sequence[BenchmarkDrive], nets: Nets, keys: Mapping[str, str], command: str
) -> Path:
    """Writes benchmark.md, benchmark.tex and benchmark.json of all drives that are done; returns the path of the page.
    Raises InputError if none is."""
    out = Path(config.out)
    results = read_results(out, drives, keys)
    if not results:
        raise InputError(out, "no finished drive", "results of at least one; other processes may be at work")
    sections, names = sections_of(config, results, nets.features), column_names(nets.features)
    shown = shown_columns(sections, names)
    write_json(out / "benchmark.json", _plain(sections))
    texts = {
        "benchmark.tex": latex(sections, shown, command),
        "benchmark.md": markdown(sections, shown, _head(config, drives, results, nets, command)),
    }
    for name, text in texts.items():
        with atomic_file(out / name) as temporary:
            temporary.write_text(text)
    return out / "benchmark.md"


def shown_columns(sections: Sequence[Section], names: Columns) -> dict[str, MetricName]:
    """The columns of the table in which a measured line has a value."""
    lines = [line for section in sections for line in section.lines if not line.is_published]
    filled = {key for line in lines for key, cell in line.cells.items() if math.isfinite(cell.value)}
    hidden = {key for key, column in COLUMNS.items() if not column.in_table}
    return {key: name for key, name in names.items() if key in filled - hidden}


def cell_text(name: MetricName, cell: Estimate | None) -> str:
    """A value with its interval, as far as there is one."""
    if cell is None:
        return "–"
    shown = name.show(cell.value)
    if not (math.isfinite(cell.low) and math.isfinite(cell.high)) or shown == "identical":
        return shown
    return f"{shown} [{name.show(cell.low)}, {name.show(cell.high)}]"


def markdown(sections: Sequence[Section], names: Columns, head: str) -> str:
    """The page: what was measured how, then one table."""
    lines = [["", *(name.heading for name in names.values())], ["---", *["---:"] * len(names)]]
    for section in sections:
        lines.append([f"**{section.title}**", *[""] * len(names)])
        for line in section.lines:
            lines.append([line.label, *(cell_text(name, line.cells.get(key)) for key, name in names.items())])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{head}\n\n{table}\n"


def latex(sections: Sequence[Section], names: Columns, command: str) -> str:
    """The same table for LaTeX (package booktabs)."""
    width = 1 + len(names)
    rows = [f"% Made by {command}", rf"\begin{{tabular}}{{l{'r' * len(names)}}}", r"\toprule"]
    rows.append(_latex_row(["", *(name.heading for name in names.values())]))
    for section in sections:
        rows += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\textit{{{_escaped(section.title)}}}}} \\"]
        for line in section.lines:
            rows.append(_latex_row([line.label, *(cell_text(names[key], line.cells.get(key)) for key in names)]))
    return "\n".join([*rows, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    return "".join(ESCAPED.get(letter, letter) for letter in text)


def _head(
    config: BenchmarkConfig, drives: Sequence[BenchmarkDrive], results: Sequence[DriveResult], nets: Nets, command: str
) -> str:
    """What the page says above the table."""
    used = [
        f"detector {nets.detector.name}{' on squares' if nets.detector_config.squares else ''}"
        if nets.detector
        else "",
        f"lane net {nets.lane_net.name}" if nets.lane_net else "",
        f"features of {nets.features.name}" if nets.features else "",
    ]
    parts = ["# Benchmark", f"Made by `{command}`.", f"{len(results)} of {len(drives)} drives. {LEGEND}"]
    parts.append(f"Networks: {', '.join(filter(None, used)) or 'none'}.")
    parts += [f"{result.drive.name}: {note}." for result in results for note in result.notes]
    parts += [
        f"![{result.drive.name}, {place_title(shift_m)}]({picture_name(result.drive, shift_m)})"
        for result in results
        for shift_m in config.shifts_m
    ]
    return "\n\n".join(parts)


def _plain(sections: Sequence[Section]) -> list[dict[str, object]]:
    return [
        {
            "section": section.title,
            "lines": [
                {"row": line.label, "published": line.is_published}
                | {key: [cell.value, cell.low, cell.high] for key, cell in line.cells.items()}
                for line in section.lines
            ],
        }
        for section in sections
    ]
