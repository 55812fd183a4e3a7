"""Curves of training runs: loss over minutes, and PSNR of the held-out windows over steps, a row per run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError

if TYPE_CHECKING:  # the options are read before matplotlib is
    from matplotlib.axes import Axes

SIZE_IN = (12.0, 3.0)
SMOOTHING = 20
"""Steps whose losses are averaged, about."""
LABELS = {
    "render_psnr_db": "render, all pixels",
    "result_psnr_db": "result, all pixels",
    "render_high_psnr_db": "render, fifth with the largest expected error",
    "result_high_psnr_db": "result, the same fifth",
}

Rows = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class RunCurves:
    """The log of a run, in the order of its steps; `validation` may be empty."""

    name: str
    training: Rows
    validation: Rows


def read_curves(run: Path) -> RunCurves:
    """The logs of one run. Raises InputError without training steps or for a line that is no JSON object."""
    training = _read_lines(run / "log.jsonl")
    if not training:
        raise InputError(run / "log.jsonl", "no steps", "the log of a training run")
    return RunCurves(run.name, training, _read_lines(run / "validation.jsonl"))


def smoothed(values: Sequence[float] | np.ndarray, count: int) -> np.ndarray:
    """Running mean over `count` values before and including each; over those that there are at the start."""
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, dtype=np.float64))])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - count, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def draw_curves(runs: Sequence[RunCurves], path: Path) -> None:
    """Draws one row per run: loss over minutes, PSNR of the validation over steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIZE_IN[0], SIZE_IN[1] * len(runs)), layout="constrained")
    FigureCanvasAgg(figure)
    for run, (left, right) in zip(runs, figure.subplots(len(runs), 2, squeeze=False), strict=True):
        _draw_loss(left, run)
        _draw_validation(right, run)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _draw_loss(axes: Axes, run: RunCurves) -> None:
    minutes = [row["elapsed_s"] / 60.0 for row in run.training]
    axes.plot(minutes, smoothed([row["loss"] for row in run.training], SMOOTHING), color="tab:blue")
    axes.set(
        title=f"{run.name}: {len(run.training)} steps", xlabel="minutes", ylabel=f"loss, mean of {SMOOTHING} steps"
    )
    axes.grid(alpha=0.3)


def _draw_validation(axes: Axes, run: RunCurves) -> None:
    for key, label in LABELS.items():
        points = [(row["step"], row[key]) for row in run.validation if key in row]
        if points:
            style = {"linestyle": "--", "color": "gray"} if key.startswith("render") else {"marker": "o"}
            axes.plot(*zip(*points, strict=True), label=label, **style)
    axes.set(title="held-out windows", xlabel="step", ylabel="PSNR, dB")
    axes.grid(alpha=0.3)
    if run.validation:
        axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))


def _read_lines(path: Path) -> Rows:
    if not path.is_file():
        return []
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines() if line]
    except ValueError as error:
        raise InputError(path, f"cannot be read ({error})", "a JSON object per line") from None
    if not all(isinstance(row, dict) for row in rows):
        raise InputError(path, "a line that is no object", "a JSON object per line")
    return rows
