"""Intervals by hand, and the table of made-up results, for people and for LaTeX."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from faithfusion.evaluate.benchmark.bootstrap import Estimate, clip_of, estimate
from faithfusion.evaluate.benchmark.config import BenchmarkConfig
from faithfusion.evaluate.benchmark.drives import BenchmarkDrive
from faithfusion.evaluate.benchmark.names import BEFORE, RECORDED, place_name, video_row
from faithfusion.evaluate.benchmark.page import latex, markdown, shown_columns
from faithfusion.evaluate.benchmark.results import DriveResult
from faithfusion.evaluate.benchmark.table import column_names, sections_of
from faithfusion.pipeline.config import RefineConfig

CONFIG = BenchmarkConfig(drives="list.yaml", shifts_m=(3.0,))


@dataclass(frozen=True)
class TwoFeatures:
    """A network of features that is called Inception."""

    name: str = "Inception"
    is_inception: bool = True

    def __call__(self, image: Tensor) -> Tensor:
        return image.mean((0, 1))[:2]


def test_a_value_is_the_mean_over_clips_of_sums_over_sums() -> None:
    clips = [clip_of([1.0, 3.0], [2.0, 2.0]), clip_of([6.0, 0.0, 0.0], [4.0, 0.0, 4.0]), clip_of([0.0], [0.0])]
    assert estimate(clips).value == pytest.approx((4 / 4 + 6 / 8) / 2)
    assert estimate([clip_of([2.0, None, 4.0])]).value == 3.0
    assert math.isnan(estimate([clip_of([0.0], [0.0])]).value)


def test_intervals_come_from_frames_and_from_drives() -> None:
    """Equal frames of equal clips have no spread; normal frames have that of their mean; few unequal clips more."""
    same = estimate([clip_of([5.0] * 4)] * 3)
    assert (same.value, same.low, same.high) == (5.0, 5.0, 5.0)
    frames = np.random.default_rng(1).normal(0.0, 1.0, 400)
    one = estimate([clip_of(frames.tolist())])
    assert one.low < one.value < one.high
    assert one.high - one.low == pytest.approx(2 * 1.96 * frames.std() / 20, rel=0.1)
    two = estimate([clip_of((frames + shift).tolist()) for shift in (0.0, 10.0)])
    assert two.value == pytest.approx(one.value + 5.0) and two.high - two.low > 9.0
    assert estimate([clip_of(frames.tolist())]) == one


def results() -> list[DriveResult]:
    frames = {
        "psnr_db": [20.0, 22.0],
        "agents iou": [1.0, 0.5],
        "agents references": [2.0, 1.0],
        "lanes ntl_iou": [50.0, 60.0],
    }
    rows = {BEFORE: frames, video_row("default"): frames | {"psnr_db": [24.0, 26.0]}}
    features = {f"{place_name(3.0)} {row}": torch.rand(6, 2) for row in rows} | {RECORDED: torch.rand(6, 2)}
    drives = [BenchmarkDrive(name, "night & day", RefineConfig()) for name in ("a", "b")]
    return [DriveResult(drive, {place_name(3.0): rows}, features, (64, 48), (), {}) for drive in drives]


def test_the_table_of_made_up_results() -> None:
    sections, names = sections_of(CONFIG, results(), TwoFeatures()), column_names(TwoFeatures())
    ours, published = sections
    assert ours.title == "night & day, 3 m to the left (2 drives, 4 pictures of 64 x 48)"
    assert [line.label for line in ours.lines] == [BEFORE, video_row("default")]
    cells = ours.lines[1].cells
    assert cells["psnr_db"].value == 25.0 and cells["nta_iou"].value == 0.5 and cells["ntl_iou"].value == 55.0
    assert cells["frechet"].value > 0.0
    assert all(line.is_published and "(published)" in line.label for line in published.lines)
    assert published.lines[-1].cells["nta_iou"] == Estimate(0.581)
    shown = shown_columns(sections, names)
    assert list(shown) == ["psnr_db", "nta_iou", "ntl_iou", "frechet", "kernel"]
    assert shown["frechet"].label == "FID" and shown["kernel"].label == "KID"
    page = markdown(sections, shown, "# Benchmark")
    assert "| **night & day, 3 m to the left (2 drives, 4 pictures of 64 x 48)** |  |  |  |  |  |" in page
    assert "| default: video | 25.00 [24.00, 26.00] | 0.500 [0.500, 0.500] | 55.00 [50.00, 60.00] |" in page
    assert (
        "PUBLISHED, not measured here" in page and "| FaithFusion (published) | – | 0.581 | 57.67 | 71.51 | – |" in page
    )
    table = latex(sections, shown, "command")
    assert r"night \& day" in table and r"PSNR (dB) $\uparrow$ & NTA-IoU" in table and "& -- & 0.581" in table


def test_features_that_are_not_inceptions_are_not_called_fid() -> None:
    labels = [name.label for name in column_names(TwoFeatures("MobileNetV2", False)).values()]
    assert not {"FID", "KID"} & set(labels) and "Frechet, MobileNetV2" in labels
    published = sections_of(CONFIG, results(), TwoFeatures("MobileNetV2", False))[-1].lines[-1]
    assert published.label == "FaithFusion (published; FID 71.51)" and "frechet" not in published.cells
