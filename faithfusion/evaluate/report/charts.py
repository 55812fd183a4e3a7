"""Charts and the EIG colour bar as inline SVG; colours come from the page's style sheet, so both themes work."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faithfusion.evaluate.report.panels import color_table, nice_ticks
from faithfusion.evaluate.report.tables import COLUMN_LABELS

WIDTH, HEIGHT = 560, 360
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 40, 52
MAX_MARKERS = 20  # longer lines are drawn without markers
NUM_SERIES = 4  # colours in the style sheet

Points = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True)
class LineChart:
    """Lines over common axes. With `identity` both axes share one range from 0 and the diagonal is drawn. The x axis is
    labelled at `x_ticks`, or at round numbers if those are empty."""

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, Points]
    identity: bool = False
    x_ticks: tuple[float, ...] = ()


def reliability_chart(predicted_rms: Sequence[float], actual_rms: Sequence[float]) -> LineChart:
    """Draws predicted against actual root-mean-square error; a calibrated prediction lies on the diagonal."""
    return LineChart(
        "Reliability of the expected error",
        "expected RMS error (colours from 0 to 1)",
        "actual RMS error (colours from 0 to 1)",
        {"render before refinement": (predicted_rms, actual_rms)},
        identity=True,
    )


def decile_chart(psnr_by_decile: Mapping[str, Sequence[float]]) -> LineChart:
    """Draws the PSNR of each clip in ten groups of equally many pixels, lowest EIG first."""
    lines = {
        COLUMN_LABELS.get(name, name): (list(range(1, len(values) + 1)), values)
        for name, values in psnr_by_decile.items()
    }
    num_groups = max(map(len, psnr_by_decile.values()))
    ticks = tuple(float(group) for group in range(1, num_groups + 1))
    return LineChart("Quality by EIG", "EIG decile (1 = best known)", "PSNR to the truth (dB)", lines, x_ticks=ticks)


def sparsification_chart(curves: Mapping[str, Points]) -> LineChart:
    """Draws the error of the pixels left after removing the most uncertain ones."""
    return LineChart(
        "Sparsification",
        "share of pixels removed, most uncertain first",
        "remaining mean error (all pixels = 1)",
        curves,
    )


@dataclass(frozen=True)
class Axis:
    """Maps values from [low, high] to pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def pixel(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def draw_chart(chart: LineChart) -> str:
    """Returns the chart as one SVG element. Points that are not finite are left out; the text is empty if no point is
    left."""
    points = {name: _finite(line) for name, line in chart.lines.items()}
    points = {name: line for name, line in points.items() if line}
    if not points:
        return ""
    xs, ys = ([point[axis] for line in points.values() for point in line] for axis in (0, 1))
    if chart.identity:
        xs = ys = [0.0, *xs, *ys]
    x_axis = Axis(*_padded(xs, chart.identity), LEFT, WIDTH - RIGHT)
    y_axis = Axis(*_padded(ys, chart.identity), HEIGHT - BOTTOM, TOP)
    parts = [_grid(x_axis, y_axis, chart.x_ticks), _labels(chart)]
    if chart.identity:
        corners = [(axis_value, axis_value) for axis_value in (x_axis.low, x_axis.high)]
        parts.append(f'<path class="diagonal" d="{_path(corners, x_axis, y_axis)}"/>')
    parts += [_series(i % NUM_SERIES, name, line, x_axis, y_axis) for i, (name, line) in enumerate(points.items())]
    parts.append(_legend([*points, "calibrated"] if chart.identity else list(points), chart.identity))
    label = html.escape(f"{chart.title}: {chart.y_label} over {chart.x_label}")
    return f'<svg class="chart" role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(parts)}</svg>'


def _finite(line: Points) -> list[tuple[float, float]]:
    return [(x, y) for x, y in zip(*line, strict=True) if math.isfinite(x) and math.isfinite(y)]


def _padded(values: Sequence[float], from_zero: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return (0.0 if from_zero else low - pad), high + pad


def _grid(x_axis: Axis, y_axis: Axis, x_ticks: Sequence[float]) -> str:
    parts = []
    for tick in x_ticks or nice_ticks(x_axis.low, x_axis.high, 8):
        x = x_axis.pixel(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{tick:g}</text>')
    for tick in nice_ticks(y_axis.low, y_axis.high, 6):
        y = y_axis.pixel(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    return "".join(parts)


def _labels(chart: LineChart) -> str:
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    return (
        f'<text class="axis" x="{middle_x}" y="{HEIGHT - 10}" text-anchor="middle">{html.escape(chart.x_label)}</text>'
        f'<text class="axis" transform="translate(15 {middle_y}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(chart.y_label)}</text>"
    )


def _path(points: Sequence[tuple[float, float]], x_axis: Axis, y_axis: Axis) -> str:
    return "M" + " L".join(f"{x_axis.pixel(x):.1f} {y_axis.pixel(y):.1f}" for x, y in points)


def _series(index: int, name: str, line: Sequence[tuple[float, float]], x_axis: Axis, y_axis: Axis) -> str:
    markers = []
    for x, y in line if len(line) <= MAX_MARKERS else ():
        tooltip = f"<title>{html.escape(name)}: {x:.4g}, {y:.4g}</title>"
        markers.append(f'<circle cx="{x_axis.pixel(x):.1f}" cy="{y_axis.pixel(y):.1f}" r="3.5">{tooltip}</circle>')
    return f'<g class="series s{index}"><path d="{_path(line, x_axis, y_axis)}"/>{"".join(markers)}</g>'


def _legend(names: Sequence[str], last_is_diagonal: bool) -> str:
    parts, x = [], float(LEFT)
    for index, name in enumerate(names):
        diagonal = last_is_diagonal and index == len(names) - 1
        style = "diagonal" if diagonal else f"series s{index % NUM_SERIES}"
        parts.append(f'<g class="{style}"><path d="M{x:.0f} 18 h20"/></g>')
        parts.append(f'<text x="{x + 26:.0f}" y="22">{html.escape(name)}</text>')
        x += 26 + 6.6 * len(name) + 22
    return "".join(parts)


def draw_color_bar(range_nats: float) -> str:
    """Returns the colours of EIG from 0 to `range_nats`, with ticks in nats, as one SVG element."""
    table, steps, left, width = color_table(), 16, 12, 336
    stops = []
    for step in range(steps + 1):
        red, green, blue = (int(round(255 * value)) for value in table[round(step / steps * (len(table) - 1))])
        stops.append(f'<stop offset="{step / steps:.4f}" stop-color="rgb({red},{green},{blue})"/>')
    ticks = "".join(
        f'<text x="{left + tick / range_nats * width:.1f}" y="34" text-anchor="middle">{tick:g}</text>'
        for tick in nice_ticks(0.0, range_nats)
    )
    return (
        '<svg class="bar" role="img" aria-label="Colours of EIG in nats" viewBox="0 0 400 40">'
        f'<defs><linearGradient id="eig">{"".join(stops)}</linearGradient></defs>'
        f'<rect x="{left}" y="4" width="{width}" height="14" rx="2" fill="url(#eig)"/>{ticks}'
        f'<text x="{left + width + 12}" y="16">nats</text></svg>'
    )
