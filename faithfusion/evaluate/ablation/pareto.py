"""Shifted lane against recorded lane: what every way of distilling gains at both, as a picture of its own (SVG)."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from faithfusion.evaluate.ablation.config import NO_REFINEMENT, Row
from faithfusion.evaluate.ablation.intervals import Interval
from faithfusion.evaluate.ablation.table import LANE, Place, Street, difference_of, labels_of
from faithfusion.evaluate.report.charts import Axis
from faithfusion.evaluate.report.panels import nice_ticks

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 940, 560, 70, 340, 34, 56
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c564b")
"""Of the weights, in their order (Okabe and Ito, so that the colour-blind tell them apart)."""
MARKERS = (
    '<circle r="5"/>',
    '<path d="M-5 -5h10v10h-10z"/>',
    '<path d="M0 -6L6 5H-6z"/>',
    '<path d="M0 -7L6 0L0 7L-6 0z"/>',
    '<path d="M-6 -5H6L0 6z"/>',
    '<path d="M-2 -6h4v4h4v4h-4v4h-4v-4h-4v-4h4z"/>',
)
"""Of the loops, in their order; the usual one comes first."""


@dataclass(frozen=True)
class Point:
    """What one row gains over no refinement, in dB, on the recorded lane and at a shift."""

    row: Row
    lane: Interval
    shift: Interval


def gains(streets: Sequence[Street], rows: Sequence[Row], distance_m: float) -> list[Point]:
    """Returns the gains in PSNR of the distilled scene over no refinement, street by street, of the rows with the last
    editors."""
    shown = [row for row in rows if row.editors == rows[-1].editors]
    places = (Place(LANE), Place("scene", distance_m))
    pairs = [[difference_of(streets, row, NO_REFINEMENT, place, "psnr_db") for place in places] for row in shown]
    points = [Point(row, *pair) for row, pair in zip(shown, pairs, strict=True)]
    return [point for point in points if math.isfinite(point.lane.mean) and math.isfinite(point.shift.mean)]


def front(points: Sequence[Point]) -> list[Point]:
    """Returns the points than which no other is better at both places, from the worst to the best lane."""
    return sorted((p for p in points if not any(_beats(q, p) for q in points)), key=lambda point: point.lane.mean)


def _beats(one: Point, other: Point) -> bool:
    pairs = ((one.lane.mean, other.lane.mean), (one.shift.mean, other.shift.mean))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def draw_pareto(points: Sequence[Point], distance_m: float) -> str:
    """Returns the picture: colours are weights, shapes are loops, crosses are 95 % intervals, and a line joins the rows
    that no other beats at both places."""
    xs, ys = ([_ends(getattr(point, name)) for point in points] for name in ("lane", "shift"))
    x_axis, y_axis = _axis(xs, LEFT, WIDTH - RIGHT), _axis(ys, HEIGHT - BOTTOM, TOP)
    weights = list(dict.fromkeys(point.row.weight for point in points))
    loops = sorted({point.row.loop for point in points}, key=lambda loop: (loop != "", loop))
    best = [f"{x_axis.pixel(p.lane.mean):.1f} {y_axis.pixel(p.shift.mean):.1f}" for p in front(points)]
    parts = [_grid(x_axis, y_axis, distance_m), f'<path d="M{" L".join(best)}" fill="none" stroke="#999"/>']
    for point in points:
        color = COLORS[weights.index(point.row.weight) % len(COLORS)]
        marker = MARKERS[loops.index(point.row.loop) % len(MARKERS)]
        parts.append(_mark(point, x_axis, y_axis, color, marker))
    parts.append(_legend(points, weights, loops))
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    font = 'font-family="sans-serif" font-size="13"'
    background = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>{background}{"".join(parts)}</svg>\n'


def _ends(interval: Interval) -> tuple[float, float]:
    """The interval, or the mean alone where one street tells none."""
    return (interval.low, interval.high) if math.isfinite(interval.low) else (interval.mean, interval.mean)


def _axis(ends: Sequence[tuple[float, float]], start: float, end: float) -> Axis:
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    pad = 0.06 * (high - low) or 0.1
    return Axis(low - pad, high + pad, start, end)


def _grid(x_axis: Axis, y_axis: Axis, distance_m: float) -> str:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for tick in nice_ticks(x_axis.low, x_axis.high, 8):
        x = x_axis.pixel(tick)
        parts.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:+g}</text>')
    for tick in nice_ticks(y_axis.low, y_axis.high, 8):
        y = y_axis.pixel(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:+g}</text>')
    middle = (LEFT + right) / 2
    parts.append(f'<text x="{middle}" y="20" text-anchor="middle">PSNR over no refinement, dB</text>')
    parts.append(f'<text x="{middle}" y="{HEIGHT - 14}" text-anchor="middle">recorded lane, held-out frames</text>')
    turned = f'transform="translate(18 {(TOP + bottom) / 2}) rotate(-90)" text-anchor="middle"'
    return "".join(parts) + f"<text {turned}>{distance_m:g} m to the side, distilled scene</text>"


def _mark(point: Point, x_axis: Axis, y_axis: Axis, color: str, marker: str) -> str:
    x, y = x_axis.pixel(point.lane.mean), y_axis.pixel(point.shift.mean)
    left, right = (x_axis.pixel(value) for value in _ends(point.lane))
    bottom, top = (y_axis.pixel(value) for value in _ends(point.shift))
    cross = f'<path d="M{left:.1f} {y:.1f}H{right:.1f}M{x:.1f} {bottom:.1f}V{top:.1f}" stroke="{color}" opacity="0.6"/>'
    name = html.escape(f"{labels_of(point.row)[0]}: {point.lane.mean:+.2f} dB, {point.shift.mean:+.2f} dB")
    return f'{cross}<g transform="translate({x:.1f} {y:.1f})" fill="{color}"><title>{name}</title>{marker}</g>'


def _legend(points: Sequence[Point], weights: Sequence[str], loops: Sequence[str]) -> str:
    names = {point.row.weight: labels_of(Row(point.row.weight, point.row.editors))[0] for point in points}
    entries = [(COLORS[i % len(COLORS)], MARKERS[0], names[weight]) for i, weight in enumerate(weights)]
    if len(loops) > 1:
        usual = "the usual distillation"
        entries += [("#666", MARKERS[i % len(MARKERS)], loop or usual) for i, loop in enumerate(loops)]
    x, parts = WIDTH - RIGHT + 24, []
    for line, (color, marker, name) in enumerate(entries):
        place = f'transform="translate({x} {TOP + 12 + 22 * line})"'
        parts.append(f'<g {place}><g fill="{color}">{marker}</g><text x="14" y="5">{html.escape(name)}</text></g>')
    return "".join(parts)
