import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from PIL import Image

from faithfusion.evaluate.metrics.registry import METRICS, metric_name
from faithfusion.evaluate.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    LineChart,
    decile_chart,
    draw_chart,
    draw_color_bar,
    reliability_chart,
)
from faithfusion.evaluate.report.html_page import html_image
from faithfusion.evaluate.report.report import NO_TRUTH, Report, write_report
from faithfusion.evaluate.report.tables import best_index, metric_tables, seconds_table, show_seconds
from faithfusion.utils.errors import InputError
from faithfusion.utils.media import write_video

VOID = {"meta", "img", "br", "path", "line", "rect", "stop"}


class Page(HTMLParser):
    """Checks that tags nest; collects headings, text and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.text: dict[str, list[str]] = {}
        self.addresses: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "poster", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text.setdefault(self.open[-1], []).append(data)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    write_video(tmp_path / "comparison.mp4", torch.rand(3, 24, 32, 3), 10.0)
    return Report(
        title="street <0> & co, +3.0 m",
        summary=("PSNR rises by 2 dB.",),
        metrics={
            "at +3.00 m: before": {"psnr_db": 18.0, "mae": 0.05, "flicker": float("nan")},
            "at +3.00 m: edit": {"psnr_db": 21.234, "mae": 0.07, "flicker": 0.01},
            "uncertainty: eig": {"regenerated_share": 0.125, "count_of_things": 7.0},
        },
        videos={"before, EIG, after": tmp_path / "comparison.mp4"},
        stills=(("frame 1", torch.rand(24, 32, 3)),),
        reliability=([0.1, 0.2, 0.3], [0.1, 0.25, 0.2]),
        psnr_by_decile={"before": [30.0 - i for i in range(10)], "edit": [30.0 - i / 2 for i in range(10)]},
        sparsification={"EIG": ([0.0, 0.5], [1.0, 0.3])},
        stage_seconds={"fit": 90.0, "calibrate": 30.0},
        notes=("This drive has no LiDAR.",),
        config_yaml="seed: 0\n",
        command="python tools/refine_sequence.py",
        eig_range_nats=10.0,
    )


def test_the_page_has_every_section_and_needs_nothing_else(report: Report, tmp_path: Path) -> None:
    path = write_report(tmp_path / "run", report)
    text = path.read_text()
    page = Page(text)
    headings = ["Videos", "How to read this", "At +3.00 m", "Uncertainty", "Curves", "Pictures", "Time"]
    assert page.text["h2"] == headings
    assert page.text["h1"] == [report.title]
    assert page.text["title"][0] == report.title
    assert page.text["pre"] == [report.command, report.config_yaml]
    assert (page.count["video"], page.count["img"], page.count["svg"]) == (1, 1, 4)
    assert len(page.addresses) == 2 and all(address.startswith("data:") for address in page.addresses)
    assert not re.search(r"https?://|//cdn|@import|<script|<link|url\((?!#)", text)
    assert "PSNR rises by 2 dB." in text and "no LiDAR" in text and NO_TRUTH not in text
    assert "prefers-color-scheme: dark" in text
    assert '<td class="best">21.23</td>' in text and '<td class="best">0.0500</td>' in text and "12.5" in text


def test_the_video_inside_is_the_file(report: Report, tmp_path: Path) -> None:
    page = Page(write_report(tmp_path / "run", report).read_text())
    data = next(address for address in page.addresses if address.startswith("data:video/mp4;base64,"))
    assert base64.b64decode(data.partition(",")[2]) == (tmp_path / "comparison.mp4").read_bytes()


def test_numbers_are_plain_json(report: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "run", report)
    data = json.loads((tmp_path / "run" / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert data["metrics"]["at +3.00 m: edit"] == report.metrics["at +3.00 m: edit"]
    assert data["metrics"]["at +3.00 m: before"]["flicker"] is None
    assert data["stage_seconds"] == report.stage_seconds
    assert data["notes"] == ["This drive has no LiDAR."]
    assert data["reliability"] == {"expected_rms": [0.1, 0.2, 0.3], "actual_rms": [0.1, 0.25, 0.2]}
    assert data["psnr_by_eig_decile_db"]["before"][9] == 21.0
    assert data["sparsification"] == {"EIG": {"removed_share": [0.0, 0.5], "remaining_error": [1.0, 0.3]}}


def test_markdown_has_the_same_tables(report: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "run", report)
    lines = (tmp_path / "run" / "metrics.md").read_text().splitlines()
    assert lines[0] == f"# {report.title}"
    assert "|  | before | edited |" in lines
    assert "| PSNR (dB) ↑ | 18.00 | **21.23** |" in lines
    assert "| Mean absolute error ↓ | **0.0500** | 0.0700 |" in lines
    assert "| total | 2 min 00 s | 100 % |" in lines


def test_without_truth_the_comparisons_are_left_out_and_said_so(report: Report, tmp_path: Path) -> None:
    bare = dataclasses.replace(report, reliability=None, psnr_by_decile={}, sparsification={})
    page = Page(write_report(tmp_path / "run", bare).read_text())
    assert "Curves" not in page.text["h2"] and "Videos" in page.text["h2"]
    assert page.count["svg"] == 1  # the EIG legend
    assert NO_TRUTH in page.text["p"]
    assert NO_TRUTH in json.loads((tmp_path / "run" / "metrics.json").read_text())["notes"]


def test_the_smallest_report_is_a_whole_page(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path, Report(title="empty", metrics={})).read_text())
    assert page.text["h2"] == ["How to read this"]


def test_a_missing_video_is_refused_before_anything_is_written(report: Report, tmp_path: Path) -> None:
    broken = dataclasses.replace(report, videos={"lost": tmp_path / "lost.mp4"})
    with pytest.raises(InputError, match="lost.mp4"):
        write_report(tmp_path / "run", broken)
    assert not (tmp_path / "run").exists()


def test_pictures_keep_their_pixels_or_become_jpeg() -> None:
    def decode(text: str) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", text)[1])))

    small = torch.randint(0, 256, (20, 30, 3), dtype=torch.uint8)
    picture = decode(html_image(small.float() / 255, 'a "quoted" caption'))
    assert picture.format == "PNG"
    assert torch.equal(torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8), small.flatten())
    assert decode(html_image(torch.rand(500, 600, 3), "noise")).format == "JPEG"


def test_best_needs_a_direction_and_a_difference() -> None:
    higher, lower, neither = metric_name("psnr_db"), metric_name("mae"), metric_name("regenerated_share")
    assert best_index([1.0, 3.0, float("nan"), None], higher) == 1
    assert best_index([1.0, 3.0, float("nan"), None], lower) == 0
    assert best_index([1.0, 3.0], neither) is None
    assert best_index([2.0, 2.0], higher) is None
    assert best_index([2.0, None], higher) is None


def test_metric_names_show_units_qualifiers_and_gaps() -> None:
    assert metric_name("psnr_db camera 0").heading == "PSNR, camera 0 (dB) ↑"
    assert metric_name("psnr_db").show(100.0) == "identical"
    assert metric_name("regenerated_share").show(0.1234) == "12.3"
    assert metric_name("never_heard_of").heading == "Never heard of"
    assert metric_name("mae").show(float("nan")) == metric_name("mae").show(None) == "–"
    assert all(name.unit == "dB" for key, name in METRICS.items() if key.endswith("_db"))


def test_methods_become_columns_and_known_metrics_come_first() -> None:
    tables = metric_tables({"a: x": {"zeta": 1.0, "mae": 0.1}, "a: y": {"psnr_db": 3.0}, "alone": {"ssim": 0.5}})
    assert [(table.title, table.columns) for table in tables] == [("A", ("x", "y")), ("Alone", ("value",))]
    shown = [(name.label, [cell.text for cell in cells]) for name, cells in tables[0].rows]
    assert shown == [("PSNR", ["–", "3.00"]), ("Mean absolute error", ["0.1000", "–"]), ("Zeta", ["1.000", "–"])]


def test_times_add_up() -> None:
    rows = {name.label: [cell.text for cell in cells] for name, cells in seconds_table({"a": 30.0, "b": 90.0}).rows}
    assert rows["a"] == ["30.0 s", "25 %"]
    assert rows["total"] == ["2 min 00 s", "100 %"]
    assert [show_seconds(s) for s in (0.04, 59.94, 61, 3599.6, 7300)] == [
        "0.0 s", "59.9 s", "1 min 01 s", "1 h 00 min", "2 h 01 min"
    ]  # fmt: skip


def test_chart_points_lie_where_their_values_are() -> None:
    svg = ElementTree.fromstring(draw_chart(reliability_chart([0.0, 0.5, 1.0], [0.0, 0.5, 1.0])))
    circles = [(float(node.get("cx")), float(node.get("cy"))) for node in svg.iter("circle")]
    diagonal = next(node for node in svg.iter("path") if node.get("class") == "diagonal" and "L" in node.get("d"))
    (x0, y0), (x1, y1) = (map(float, point.split()) for point in diagonal.get("d")[1:].split(" L"))
    for x, y in circles:
        assert (x - x0) / (x1 - x0) == pytest.approx((y - y0) / (y1 - y0), abs=2e-3)
    assert circles[0][0] == LEFT and circles[1][0] - circles[0][0] == pytest.approx(
        circles[2][0] - circles[1][0], abs=0.2
    )
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in circles)


def test_charts_label_axes_name_lines_and_skip_undefined_points() -> None:
    chart = decile_chart({"before": [30.0, float("nan"), 20.0], "edit": [31.0, 25.0, 22.0]})
    svg = ElementTree.fromstring(draw_chart(chart))
    texts = [node.text for node in svg.iter("text")]
    assert {"1", "2", "3", "before", "edited", chart.x_label, chart.y_label} <= set(texts)
    circles = [(float(node.get("cx")), float(node.get("cy"))) for node in svg.iter("circle")]
    assert len(circles) == 5
    assert all(LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - BOTTOM for x, y in circles)
    columns = [x for x, _ in circles]
    assert min(columns) - LEFT == pytest.approx(WIDTH - RIGHT - max(columns), abs=0.2)  # the lines fill the width
    tick = next(node for node in svg.iter("text") if node.text == "30")
    assert float(tick.get("y")) - 4 == pytest.approx(circles[0][1], abs=0.2)
    assert draw_chart(LineChart("t", "x", "y", {"none": ([1.0], [float("nan")])})) == ""
    assert (
        len(list(ElementTree.fromstring(draw_chart(LineChart("t", "x", "y", {"one": ([1.0], [2.0])}))).iter("circle")))
        == 1
    )


def test_the_colour_bar_is_labelled_in_nats() -> None:
    svg = ElementTree.fromstring(draw_color_bar(5.0))
    texts = [node.text for node in svg.iter("text")]
    assert texts == ["0", "1", "2", "3", "4", "5", "nats"]
