"""Tables of metrics in Markdown and HTML: metrics down, methods across, the best marked where a direction is known."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faithfusion.evaluate.metrics.metric import MetricName
from faithfusion.evaluate.metrics.registry import metric_name, metric_rank

COLUMN_LABELS = {"eig": "EIG", "alpha": "1 − alpha", "edit": "edited"}
Metrics = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Cell:
    """A shown value, and whether it is the best of its row."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """One section with a heading, a column per method and a row per metric."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[MetricName, tuple[Cell, ...]], ...]


def metric_tables(metrics: Metrics) -> list[Table]:
    """Returns the sections of names "section: method"; a name without a colon is a section of its own."""
    sections: dict[str, dict[str, Mapping[str, float]]] = {}
    for name, values in metrics.items():
        section, colon, method = name.rpartition(": ")
        sections.setdefault(section if colon else name, {})[method if colon else "value"] = values
    return [_metric_table(section, methods) for section, methods in sections.items()]


def _metric_table(section: str, methods: Metrics) -> Table:
    keys = sorted(dict.fromkeys(key for values in methods.values() for key in values), key=metric_rank)
    rows = []
    for key in keys:
        name = metric_name(key)
        values = [methods[method].get(key) for method in methods]
        best = best_index(values, name)
        rows.append((name, tuple(Cell(name.show(value), i == best) for i, value in enumerate(values))))
    columns = tuple(COLUMN_LABELS.get(method, method) for method in methods)
    return Table(capitalize_first(section), columns, tuple(rows))


def best_index(values: Sequence[float | None], name: MetricName) -> int | None:
    """Returns the index of the best of at least two different finite values; None if the metric has no direction."""
    finite = {i: value for i, value in enumerate(values) if value is not None and math.isfinite(value)}
    if name.better is None or len(set(finite.values())) < 2:
        return None
    return (max if name.better == "higher" else min)(finite, key=finite.__getitem__)


def seconds_table(stage_seconds: Mapping[str, float]) -> Table:
    """Returns the time per stage and its share of the whole."""
    total_s = sum(stage_seconds.values())
    rows = [
        (MetricName(label=name), (Cell(show_seconds(s)), Cell(f"{100 * s / total_s:.0f} %" if total_s > 0 else "–")))
        for name, s in (*stage_seconds.items(), ("total", total_s))
    ]
    return Table("Time", ("time", "share"), tuple(rows))


def show_seconds(seconds: float) -> str:
    """Returns a time as "12.3 s", "4 min 05 s" or "1 h 02 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def capitalize_first(text: str) -> str:
    """Returns the text with a capital first letter and the rest as it is."""
    return text[:1].upper() + text[1:]


def markdown_table(table: Table) -> str:
    """Returns a Markdown table under its heading; the best values are bold."""
    lines = [f"## {table.title}", "", _markdown_row(["", *table.columns]), _markdown_row(["---", *_right(table)])]
    for name, cells in table.rows:
        lines.append(_markdown_row([name.heading, *(f"**{c.text}**" if c.best else c.text for c in cells)]))
    return "\n".join(lines) + "\n"


def _right(table: Table) -> list[str]:
    return ["---:"] * len(table.columns)


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def html_table(table: Table) -> str:
    """Returns the same as an HTML table without its heading; each metric is explained below its name."""
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in table.columns)
    body = []
    for name, cells in table.rows:
        meaning = f"<small>{html.escape(name.meaning)}</small>" if name.meaning else ""
        values = "".join(f'<td class="{"best" if c.best else "plain"}">{html.escape(c.text)}</td>' for c in cells)
        body.append(f'<tr><th scope="row">{html.escape(name.heading)}{meaning}</th>{values}</tr>')
    table = f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return f'<div class="scroll">{table}</div>'
