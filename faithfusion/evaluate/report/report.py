"""What a run shows to people: metrics.json, metrics.md and one self-contained report.html."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from faithfusion.evaluate.report.charts import (
    LineChart,
    Points,
    decile_chart,
    draw_chart,
    draw_color_bar,
    reliability_chart,
    sparsification_chart,
)
from faithfusion.evaluate.report.html_page import html_image, html_page, html_video
from faithfusion.evaluate.report.tables import Metrics, html_table, markdown_table, metric_tables, seconds_table
from faithfusion.utils.atomic import atomic_file

NO_TRUTH = "This drive has no true images on the new path: comparisons with the truth are left out."

TRAJECTORY_CAPTION = "The recorded path and the new one from above, and how they differ, over the metres driven"

EXPLANATION = (
    "<p><b>EIG</b>, the expected information gain, says how much one observation of a pixel would tell about the "
    "Gaussian scene, in nats: 0 where the recorded drive has settled the picture, large where it has not. Calibration "
    "turns EIG into <b>V</b>, the squared colour error to be expected of the render at that pixel: by curves measured "
    "beside streets, scaled on stretches of this drive that were withheld from the fit. "
    "The <b>gain</b> (V - C) / (V + E - 2 C) weighs the render against the editor, whose own squared error is E and "
    "whose errors go with the render's by the covariance C: with gain 0 the render is kept exactly, near 1 the "
    "editor's content takes its place.</p>"
    "<p><b>before</b> is the scene as fitted, <b>edited</b> the clip after regeneration, <b>after</b> the scene into "
    "which that clip was distilled. In tables ↑ and ↓ mark metrics where more or less is better; "
    "the best value of such a row is shaded.</p>"
)


@dataclass(frozen=True)
class Report:
    """Everything that a report shows; empty parts are left out.

    Attributes:
        title: The heading of the page.
        metrics: Values by "section: method", then by metric; `metrics.registry` knows the units and directions of
            the keys.
        summary: The findings, one sentence each.
        videos: The mp4 files by caption.
        stills: Captions and pictures: PNG files, or [H, W, 3], floats in [0, 1] or uint8.
        reliability: Expected and actual RMS error per group of pixels; None without truth.
        psnr_by_decile: PSNR in dB per clip in ten EIG deciles, lowest first; empty without truth.
        sparsification: Removed shares and remaining errors per uncertainty map; empty without truth.
        stage_seconds: The time that each stage took, in seconds.
        notes: What a reader must know, such as missing parts of the drive.
        config_yaml: The resolved configuration.
        command: The command line of the run.
        eig_range_nats: The top of the colour scale of the EIG pictures; None leaves the legend out.
        no_truth: Why nothing is compared with the truth, if nothing is.
        trajectory: A PNG file of the new path from above; None leaves it out.
    """

    title: str
    metrics: Metrics
    summary: tuple[str, ...] = ()
    videos: Mapping[str, Path] = field(default_factory=dict)
    stills: tuple[tuple[str, Float[Tensor, "h w 3"] | np.ndarray | Path], ...] = ()
    reliability: Points | None = None
    psnr_by_decile: Mapping[str, list[float]] = field(default_factory=dict)
    sparsification: Mapping[str, Points] = field(default_factory=dict)
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    config_yaml: str = ""
    command: str = ""
    eig_range_nats: float | None = None
    no_truth: str = NO_TRUTH
    trajectory: Path | None = None

    @property
    def all_notes(self) -> tuple[str, ...]:
        """Returns the notes, and says that there is no truth if nothing was compared with it."""
        has_truth = self.reliability is not None or bool(self.psnr_by_decile)
        return self.notes if has_truth else (*self.notes, self.no_truth)


def write_report(folder: Path, report: Report) -> Path:
    """Writes metrics.json, metrics.md and report.html, each whole or not at all, and returns the path of the page.

    Raises InputError, before anything is written, if a video is missing.
    """
    texts = {
        "metrics.json": json.dumps(report_data(report), indent=1) + "\n",
        "metrics.md": markdown_report(report),
        "report.html": html_report(report),
    }
    for name, text in texts.items():
        with atomic_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return folder / "report.html"


def report_data(report: Report) -> dict[str, Any]:
    """Returns the numbers of the report as plain JSON data; undefined values are null."""
    data = {
        "title": report.title,
        "summary": report.summary,
        "metrics": report.metrics,
        "reliability": report.reliability
        and dict(zip(("expected_rms", "actual_rms"), report.reliability, strict=True)),
        "psnr_by_eig_decile_db": report.psnr_by_decile,
        "sparsification": {
            name: dict(zip(("removed_share", "remaining_error"), curve, strict=True))
            for name, curve in report.sparsification.items()
        },
        "stage_seconds": report.stage_seconds,
        "notes": report.all_notes,
        "command": report.command,
    }
    return _plain(data)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def markdown_report(report: Report) -> str:
    """Returns title, findings, notes and all tables."""
    parts = [f"# {report.title}\n"]
    parts += ["\n".join(f"- {line}" for line in lines) + "\n" for lines in (report.summary, report.all_notes) if lines]
    parts += [markdown_table(table) for table in metric_tables(report.metrics)]
    if report.stage_seconds:
        parts.append(markdown_table(seconds_table(report.stage_seconds)))
    return "\n".join(parts)


def html_report(report: Report) -> str:
    """Returns the whole page, with every picture and video inside."""
    parts = [f"<h1>{html.escape(report.title)}</h1>"]
    if report.summary:
        parts.append("<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in report.summary) + "</ul>")
    if report.all_notes:
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in report.all_notes)
        parts.append(f'<div class="notes">{notes}</div>')
    parts += [_section("Videos", "".join(html_video(path, label) for label, path in report.videos.items()))]
    bar = "" if report.eig_range_nats is None else draw_color_bar(report.eig_range_nats)
    parts += [_section("How to read this", EXPLANATION + bar)]
    if report.trajectory is not None:
        parts.append(_section("Trajectory", html_image(report.trajectory, TRAJECTORY_CAPTION)))
    parts += [_section(table.title, html_table(table)) for table in metric_tables(report.metrics)]
    parts += [_section("Curves", _chart_grid(report))]
    parts += [_section("Pictures", "".join(html_image(image, caption) for caption, image in report.stills))]
    if report.stage_seconds:
        parts.append(_section("Time", html_table(seconds_table(report.stage_seconds))))
    parts.append(_reproduce(report))
    return html_page(report.title, "\n".join(part for part in parts if part))


def _section(title: str, content: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2>{content}</section>" if content else ""


def report_charts(report: Report) -> list[LineChart]:
    """Returns the charts for which the report has data."""
    charts = []
    if report.reliability is not None:
        charts.append(reliability_chart(*report.reliability))
    if report.psnr_by_decile:
        charts.append(decile_chart(report.psnr_by_decile))
    if report.sparsification:
        charts.append(sparsification_chart(report.sparsification))
    return charts


def _chart_grid(report: Report) -> str:
    drawn = [(chart.title, draw_chart(chart)) for chart in report_charts(report)]
    figures = [f"<figure><figcaption>{html.escape(title)}</figcaption>{svg}</figure>" for title, svg in drawn if svg]
    return f'<div class="charts">{"".join(figures)}</div>' if figures else ""


def _reproduce(report: Report) -> str:
    command = f"<pre>{html.escape(report.command)}</pre>" if report.command else ""
    config = f"<pre>{html.escape(report.config_yaml)}</pre>" if report.config_yaml else ""
    if not command + config:
        return ""
    return f"<details><summary>Command and configuration</summary>{command}{config}</details>"
