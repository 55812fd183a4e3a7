"""Writes the check as one page that needs no other files, and its pictures beside it as PNG."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from faithfusion.check.calibration_faults import ego_from_camera, horizontal_fov_deg, share_inside
from faithfusion.check.check_clip import CheckResult
from faithfusion.check.draw import draw_camera
from faithfusion.check.evidence import Evidence
from faithfusion.check.findings import Level, count
from faithfusion.check.motion_faults import speeds_m_s
from faithfusion.check.overhead import draw_overhead
from faithfusion.evaluate.report.charts import LineChart, draw_chart
from faithfusion.evaluate.report.html_page import html_image, html_page
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.media import write_image

CAPTIONS = {"overhead": "From above. Arrows: the ego's x axis. Triangles: what the cameras see at the first frame."}
CAMERA_CAPTION = "LiDAR points coloured by depth; boxes, with a line on the ground from the middle to the front."
LEFT = 'style="text-align:left"'
LEVEL_NAMES = {Level.BROKEN: "fault", Level.REMARK: "remark", Level.NOTE: "note"}


def write_check(result: CheckResult, out: Path) -> Path:
    """Writes check.html, overhead.png and camera_NAME.png into `out`; returns the page's path."""
    evidence = result.evidence
    pictures = {"overhead": draw_overhead(evidence)}
    pictures |= {f"camera_{name}": draw_camera(evidence, name) for name in evidence.clip.camera_names}
    for name, picture in pictures.items():
        write_image(out / f"{name}.png", picture)
    images = [html_image(picture, CAPTIONS.get(name, CAMERA_CAPTION)) for name, picture in pictures.items()]
    cameras = [camera_row(evidence, name) for name in evidence.clip.camera_names]
    parts = [
        f"<h1>{html.escape(evidence.clip.name)}</h1>",
        f'<div class="notes"><p><b>{html.escape(result.verdict)}</b></p></div>',
        "<h2>Findings</h2>" + _table(("kind", "about", "what"), finding_rows(result)),
        "<h2>Parts</h2>" + _table(("part", "what there is"), part_rows(evidence)),
        "<h2>Cameras</h2>" + _table(CAMERA_COLUMNS, cameras),
        "<h2>From above</h2>" + images[0] + f'<div class="charts">{_motion_charts(evidence)}</div>',
        "<h2>On the images</h2>" + "".join(images[1:]),
    ]
    with atomic_file(out / "check.html") as temporary:
        temporary.write_text(html_page(f"{evidence.clip.name}: check", "\n".join(parts)))
    return out / "check.html"


def finding_rows(result: CheckResult) -> list[tuple[str, str, str]]:
    """(kind, subject, text), faults first."""
    worst_first = sorted(result.findings, key=lambda finding: -finding.level)
    return [(LEVEL_NAMES[finding.level], finding.subject, finding.text) for finding in worst_first]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col" {LEFT}>{html.escape(column)}</th>' for column in columns)
    lines = ["".join(f"<td {LEFT}>{html.escape(cell)}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def part_rows(evidence: Evidence) -> list[tuple[str, str]]:
    """What the drive has and lacks."""
    clip, missing = evidence.clip, ", ".join(evidence.clip.missing)
    travel_m = float(evidence.steps_m.sum())
    rows = [
        ("frames", f"{clip.num_frames} at {clip.frame_rate_hz:g} per second, {travel_m:.1f} m driven"),
        ("layout", clip.layout),
    ]
    if evidence.scan_times:
        sizes = [len(evidence.points_world(t)) for t in evidence.sample_scans()]
        rows.append(
            ("LiDAR", f"{count(len(evidence.scan_times), 'scan')}, up to {max(sizes)} points used of each here")
        )
    if clip.tracks:
        classes = Counter(track.class_name for track in clip.tracks)
        moving = sum(track.is_moving for track in clip.tracks)
        named = ", ".join(f"{number} {name}" for name, number in classes.most_common())
        rows.append(("boxes", f"{count(len(clip.tracks), 'track')} ({named}), {moving} of them moving"))
    rows.append(("missing", missing or "nothing"))
    return rows


CAMERA_COLUMNS = (
    "camera",
    "size",
    "focal length, pixels",
    "field of view",
    "place in the ego frame, m",
    "LiDAR inside",
)


def camera_row(evidence: Evidence, name: str) -> tuple[str, ...]:
    """One camera's calibration in words."""
    camera = evidence.clip.frame(0, name).camera
    x, y, z = ego_from_camera(evidence, name)[:3, 3]
    times = evidence.sample_scans()
    share = f"{np.mean([share_inside(evidence, t, name) for t in times]):.0%} of the points" if times else "no LiDAR"
    return (
        name,
        f"{camera.width}x{camera.height}",
        f"{float(camera.intrinsics[0, 0]):.1f}, {float(camera.intrinsics[1, 1]):.1f}",
        f"{horizontal_fov_deg(camera):.0f}°",
        f"{x:+.2f} {y:+.2f} {z:+.2f}",
        share,
    )


def _motion_charts(evidence: Evidence) -> str:
    speeds = speeds_m_s(evidence).tolist()
    forward = evidence.clip.world_from_ego[:, :2, 0].double().numpy()
    headings = np.degrees(np.unwrap(np.arctan2(forward[:, 1], forward[:, 0]))).tolist()
    charts = (
        LineChart("Speed", "frame", "m/s", {"ego": (list(range(1, len(speeds) + 1)), speeds)}),
        LineChart("Heading", "frame", "degrees", {"ego": (list(range(len(headings))), headings)}),
    )
    drawn = [(chart.title, draw_chart(chart)) for chart in charts if all(map(len, chart.lines["ego"]))]
    return "".join(f"<figure><figcaption>{title}</figcaption>{svg}</figure>" for title, svg in drawn if svg)
