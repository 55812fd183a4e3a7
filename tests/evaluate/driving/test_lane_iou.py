"""NTL-IoU: hand-made cases with known values, and the drawing of lines."""

from __future__ import annotations

import math

import pytest
import torch
from evaluate.driving.driving_cases import CAMERA
from reference import driving_metrics as twin
from torch import Tensor

from faithfusion.evaluate.driving import NovelTrajectoryLaneIoU
from faithfusion.evaluate.driving.lane_references import LaneReference, lane_reference, resampled
from faithfusion.evaluate.driving.lane_scores import lane_row, published_scores
from faithfusion.utils.errors import InputError

NUM_PIXELS = 640 * 360


def mask(rows: int, first: int = 0) -> Tensor:
    picture = torch.zeros(360, 640, dtype=torch.bool)
    picture[first : first + rows] = True
    return picture


def values(detected: Tensor, lane: Tensor, hidden: Tensor | None = None) -> dict[str, float]:
    metric = NovelTrajectoryLaneIoU()
    metric.update([detected], [LaneReference(lane, torch.zeros_like(lane) if hidden is None else hidden)])
    return {name: float(value) for name, value in metric.compute().items()}


def test_the_lane_where_it_belongs() -> None:
    of = values(mask(36), mask(36))
    assert of["ntl_iou"] == of["lane_iou"] == of["lane_recall"] == of["lane_precision"] == 100.0
    assert of["ntl_iou_nothing_found"] == 45.0


def test_half_of_the_lane() -> None:
    of = values(mask(18), mask(36))
    assert of["ntl_iou"] == pytest.approx(50 * (324 / 342 + 0.5))
    assert of["lane_iou"] == of["lane_recall"] == 50.0 and of["lane_precision"] == 100.0


def test_nothing_found_scores_almost_fifty_as_published() -> None:
    of = values(mask(0), mask(36))
    assert of["ntl_iou"] == of["ntl_iou_nothing_found"] == 45.0
    assert of["lane_iou"] == of["lane_recall"] == 0.0 and math.isnan(of["lane_precision"])


def test_nan_counts_as_zero_in_the_published_form() -> None:
    empty = values(mask(0), mask(0))
    assert empty["ntl_iou"] == 50.0
    assert all(math.isnan(empty[name]) for name in ("lane_iou", "lane_recall", "lane_precision"))
    full = values(mask(360), mask(360))  # no background: its IoU is 0 / 0
    assert full["ntl_iou"] == 50.0 and full["lane_iou"] == 100.0


def test_what_is_hidden_is_neither_right_nor_wrong_in_the_honest_form() -> None:
    of = values(mask(18), mask(36), hidden=mask(18, first=18))
    assert of["lane_iou"] == of["lane_recall"] == 100.0
    assert of["ntl_iou"] == pytest.approx(50 * (324 / 342 + 0.5))
    on_the_car = values(mask(36), mask(36), hidden=mask(18))
    assert on_the_car["lane_precision"] == 100.0


def test_frames_are_averaged_as_published_and_pooled_in_the_honest_form() -> None:
    metric = NovelTrajectoryLaneIoU()
    nowhere = torch.zeros(360, 640, dtype=torch.bool)
    metric.update([mask(36), mask(0)], [LaneReference(mask(36), nowhere), LaneReference(mask(18), nowhere)])
    of = metric.compute()
    assert float(of["ntl_iou"]) == pytest.approx((100 + 50 * 342 / 360) / 2)
    assert float(of["lane_iou"]) == pytest.approx(100 * 36 / 54)
    metric.update([mask(0)], [LaneReference(mask(36), nowhere)], clip=1)
    assert float(metric.compute()["lane_iou"]) == pytest.approx(50 * 36 / 54)


def test_scores_are_those_of_the_slow_twin() -> None:
    for share in (0.0, 0.1, 0.5, 1.0):
        reference, detected = torch.rand(9, 16) < share, torch.rand(9, 16) < 0.5 * share
        counts = [t.sum().double() for t in (torch.ones(9, 16), reference, detected, reference & detected)]
        expected = twin.lane_score(reference.tolist(), detected.tolist())
        assert float(published_scores(*counts)) == pytest.approx(expected)


def upright(x: float, z: float) -> Tensor:
    """A line in the world's y, which is down in the picture and far longer than it is high."""
    return torch.tensor([[x, -9.0, z], [x, 9.0, z]])


def test_lines_are_twenty_pixels_thick_at_full_size() -> None:
    # the camera's (u, v) of 480 x 320 become (4 u, 4 v) of 1920 x 1280, a third of it across at 640 x 360
    drawn = lane_reference([upright(0.0, 10.0)], CAMERA).lane
    columns = drawn.any(0).nonzero()[:, 0]
    assert abs(float(columns.float().mean()) + 0.5 - 320) <= 0.5
    assert len(columns) in (6, 7) and drawn[:, columns[2]].all()
    shifted = lane_reference([upright(1.0, 10.0)], CAMERA).lane.any(0).nonzero()[:, 0]
    assert float(shifted.float().mean()) + 0.5 == pytest.approx(320 + 24 * 640 / 480, abs=0.6)


def test_lines_behind_the_camera_and_far_away_are_not_drawn() -> None:
    assert not lane_reference([], CAMERA).lane.any()
    assert not lane_reference([upright(0.0, -10.0)], CAMERA).lane.any()
    across = torch.tensor([[-80.0, 0.0, 10.0], [-76.0, 0.0, 10.0]])
    high = torch.tensor([[0.0, 0.0, 11.0], [1.0, 0.0, 11.0]])  # world z is up in the rule, and 10 m its limit
    assert not lane_reference([across, high], CAMERA).lane.any()
    through = torch.tensor([[0.0, 1.0, -9.0], [0.0, 1.0, 9.0]])
    drawn = lane_reference([through], CAMERA).lane
    assert drawn[359, 310:330].any() and not drawn[:180].any()


def test_lines_behind_something_nearer_are_hidden() -> None:
    wall = torch.zeros(64, 96)
    wall[:, :48] = 5.0
    line = torch.tensor([[-3.0, 0.0, 9.0], [3.0, 0.0, 9.0]])
    reference = lane_reference([line], CAMERA, wall)
    assert torch.equal(reference.lane, lane_reference([line], CAMERA).lane)
    hidden = reference.is_hidden.any(0).nonzero()[:, 0]
    lane = reference.lane.any(0).nonzero()[:, 0]
    assert int(hidden.min()) == int(lane.min())
    assert 300 <= int(hidden.max()) <= 325
    metric = NovelTrajectoryLaneIoU()
    metric.update([lane_reference([line], CAMERA).lane], [reference])
    assert float(metric.compute()["lane_recall"]) == 100.0
    behind = torch.full((64, 96), 9.1)
    assert not lane_reference([line], CAMERA, behind).is_hidden.any()


def test_points_between_corners() -> None:
    points = resampled(torch.tensor([[0.0, 0, 0], [1.2, 0, 0], [1.2, 0.3, 0]]))
    assert points[:, 0].tolist() == pytest.approx([0, 0.4, 0.8, 1.2, 1.2])
    assert points[-1].tolist() == pytest.approx([1.2, 0.3, 0])


def test_masks_of_another_size_are_refused(unchecked: None) -> None:
    reference = LaneReference(mask(1), mask(0))
    with pytest.raises(InputError, match=r"^lane mask: size \(320, 480\); expected size \(360, 640\)$"):
        lane_row(reference, torch.zeros(320, 480, dtype=torch.bool))
