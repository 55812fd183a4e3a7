"""Figures and tables of the EIG benchmark: sparsification curves, reliability, maps beside the true error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from faithfusion.evaluate.eig.scores import OURS, ShiftScores, ViewMaps, mean_scores, worst_decile_deviation
from faithfusion.evaluate.report.panels import COLOR_MAP, EIG_RANGE_NATS
from faithfusion.utils.atomic import atomic_file

MAX_ERROR = 0.3
"""Top of the scale of error maps, colours from 0 to 1."""
FIGURE_WIDTH_IN, NUM_COLUMNS = 11.0, 3
MARK_COLOR = (1.0, 0.2, 0.8)

COLUMNS = {
    "spearman": "Spearman ↑",
    "ause": "AUSE ↓",
    "spearman_without_sky": "Spearman, no sky ↑",
    "ause_without_sky": "AUSE, no sky ↓",
}


def method_table(rows: Sequence[ShiftScores]) -> str:
    """Markdown: mean scores of every method over scenes and shifts."""
    lines = ["| map | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for method, scores in mean_scores(rows).items():
        cells = (f"{scores[key]:.3f}" if key in scores else "" for key in COLUMNS)
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def scene_table(rows: Sequence[ShiftScores], method: str) -> str:
    """Markdown: one row per scene and shift for one method, with calibration and coverage."""
    heads = [*COLUMNS.values(), "render MAE", "marked pixels", "of the error", "worst decile"]
    lines = ["| scene | shift | " + " | ".join(heads) + " |", "|---" * (len(heads) + 2) + "|"]
    for row in rows:
        scores = row.methods[method]
        cells = [f"{scores[key]:.3f}" if key in scores else "" for key in COLUMNS]
        cells += [f"{row.render_mae:.4f}", f"{100 * row.marked_share:.1f} %", f"{100 * row.covered_error_share:.1f} %"]
        cells.append(f"{100 * worst_decile_deviation(row):.0f} %")
        lines.append(f"| {row.scene} | {row.shift_m:+g} m | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def reliability_table(rows: Sequence[ShiftScores]) -> str:
    """Markdown: predicted / actual RMS error of the five most uncertain deciles."""
    lines = ["| scene | shift | decile 6 | 7 | 8 | 9 | 10 |", "|---" * 7 + "|"]
    for row in rows:
        pairs = zip(row.predicted_rms[-5:], row.actual_rms[-5:], strict=True)
        cells = (f"{predicted:.3f} / {actual:.3f}" for predicted, actual in pairs)
        lines.append(f"| {row.scene} | {row.shift_m:+g} m | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw_sparsification(path: Path, rows: Sequence[ShiftScores], title: str) -> None:
    """Mean curves over `rows`: share of pixels removed against the remaining error."""
    figure = Figure(figsize=(8.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for name in rows[0].curves:
        curve = np.mean([row.curves[name] for row in rows], 0)
        style = {"color": "black", "linestyle": ":"} if name == "oracle" else {}
        axes.plot(np.arange(len(curve)) / len(curve), curve, label=name, **style)
    axes.set(title=title, xlabel="share of pixels removed, most uncertain first")
    axes.set(ylabel="mean error of the rest (all pixels = 1)", ylim=(0.0, None), xlim=(0.0, 1.0))
    figure.legend(loc="outside right center", frameon=False)
    axes.grid(alpha=0.3)
    _save(figure, path)


def draw_reliability(path: Path, rows: Sequence[ShiftScores], title: str) -> None:
    """Predicted against actual RMS error in deciles: a line per scene and shift, a colour per distance, grey: 25 %."""
    figure = Figure(figsize=(5.6, 5.2), layout="constrained")
    axes = figure.add_subplot()
    top = 1.05 * max(max(row.predicted_rms + row.actual_rms) for row in rows)
    bottom = 0.9 * min(min(row.predicted_rms + row.actual_rms) for row in rows)
    line = np.array([bottom, top])
    axes.fill_between(line, line / 1.25, line / 0.75, color="grey", alpha=0.2, label="within 25 %")
    axes.plot(line, line, color="black", linewidth=0.8)
    distances_m = sorted({abs(row.shift_m) for row in rows})
    for row in rows:
        place = distances_m.index(abs(row.shift_m))
        label = f"{distances_m[place]:g} m from the path" if row is _first_at(rows, distances_m[place]) else None
        style = {"marker": "o", "markersize": 3, "linewidth": 0.9, "color": f"C{place}", "label": label}
        axes.plot(row.predicted_rms, row.actual_rms, **style)
    axes.set(xscale="log", yscale="log", xlim=(bottom, top), ylim=(bottom, top), title=title)
    axes.set(xlabel="predicted RMS error (colours from 0 to 1)", ylabel="actual RMS error")
    axes.legend(frameon=False)
    _save(figure, path)


def _first_at(rows: Sequence[ShiftScores], distance_m: float) -> ShiftScores:
    return next(row for row in rows if abs(row.shift_m) == distance_m)


def draw_view(path: Path, view: ViewMaps, title: str, regenerate_rms: float) -> None:
    """One view: render, truth, what would be regenerated; true error, EIG and expected RMS error with their bars."""
    marked = view.render.clone()
    marked[view.expected_sq_error > regenerate_rms**2] = torch.tensor(MARK_COLOR).to(marked)
    pictures = {"render": view.render, "truth": view.truth, f"expected RMS error > {regenerate_rms:g}": marked}
    maps = {
        "true absolute error": (view.error, MAX_ERROR, "colours from 0 to 1"),
        "EIG": (view.uncertainty[OURS], EIG_RANGE_NATS, "nats"),
        "expected RMS error": (view.expected_sq_error.sqrt(), MAX_ERROR, "colours from 0 to 1"),
    }
    draw_maps(path, pictures, maps, title)


def draw_maps(
    path: Path,
    pictures: Mapping[str, Float[Tensor, "h w 3"]],
    maps: Mapping[str, tuple[Float[Tensor, "h w"], float, str]],
    title: str,
) -> None:
    """Pictures, then maps with a colour bar each; a map comes with the top of its scale and its unit."""
    num_rows = -(-(len(pictures) + len(maps)) // NUM_COLUMNS)
    height, width, _ = next(iter(pictures.values())).shape
    row_in = 0.9 * FIGURE_WIDTH_IN / NUM_COLUMNS * height / width + 0.4
    figure = Figure(figsize=(FIGURE_WIDTH_IN, num_rows * row_in + 0.3), layout="constrained")
    figure.suptitle(title)
    for place, (name, image) in enumerate(pictures.items(), 1):
        axes = figure.add_subplot(num_rows, NUM_COLUMNS, place)
        axes.imshow(image.clamp(0, 1).cpu().numpy())
        axes.set_title(name, fontsize=9)
        axes.set_axis_off()
    for place, (name, (values, top, unit)) in enumerate(maps.items(), len(pictures) + 1):
        axes = figure.add_subplot(num_rows, NUM_COLUMNS, place)
        shown = axes.imshow(values.cpu().numpy(), cmap=COLOR_MAP, vmin=0.0, vmax=top)
        axes.set_title(name, fontsize=9)
        axes.set_axis_off()
        figure.colorbar(shown, ax=axes, label=unit, shrink=0.8)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with atomic_file(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))
