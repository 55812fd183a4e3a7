"""NTA-IoU: hand-made cases with known values, against slow twins, and as a torchmetrics metric."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from evaluate.driving.driving_cases import CAMERA, cubes, detections, references_of
from reference import driving_metrics as twin
from torch import Tensor

from faithfusion.evaluate.driving import NovelTrajectoryAgentIoU
from faithfusion.evaluate.driving.agent_references import agent_references, is_vehicle, vehicles_at
from faithfusion.evaluate.driving.agent_scores import matched_ious, nearest_ious
from faithfusion.evaluate.driving.boxes import Detections, suppress
from faithfusion.types import Track
from faithfusion.utils.errors import InputError

AHEAD = (0.0, 0.0, 10.0)  # its near face, 9 m away, reaches 240 / 9 = 26.67 pixels to every side of (240, 160)
BOX = (213.0, 133.0, 266.0, 186.0)
EXTENT = (240 - 240 / 9, 160 - 240 / 9, 240 + 240 / 9, 160 + 240 / 9)


def values(found: Detections, agents=None, count: int = 10, depth_m: Tensor | None = None) -> dict[str, float]:
    metric = NovelTrajectoryAgentIoU()
    metric.update([found], [references_of(cubes(AHEAD) if agents is None else agents, count, depth_m)])
    return {name: float(value) for name, value in metric.compute().items()}


def test_a_box_where_it_belongs() -> None:
    references = references_of(cubes(AHEAD))
    assert references.boxes.tolist() == [list(BOX)]
    torch.testing.assert_close(references.extents, torch.tensor([EXTENT]))
    of = values(detections(BOX))
    assert of["nta_iou"] == of["nta_iou_visible"] == of["nta_iou_single"] == 1.0
    shared = (266 - EXTENT[0]) ** 2
    assert of["matched_iou"] == pytest.approx(shared / (53**2 + (480 / 9) ** 2 - shared), abs=1e-5)
    assert of["recall"] == of["precision"] == 1.0


def test_the_published_rule_measures_to_the_nearest_centre() -> None:
    shifted = (BOX[0] + 9, BOX[1], BOX[2] + 9, BOX[3])
    assert values(detections(shifted))["nta_iou"] == pytest.approx(44 / 62)
    at_ten = (BOX[0] + 10, BOX[1], BOX[2] + 10, BOX[3])
    assert values(detections(at_ten))["nta_iou"] == pytest.approx(43 / 63)
    beyond = (BOX[0] + 10.5, BOX[1], BOX[2] + 10.5, BOX[3])
    assert values(detections(beyond))["nta_iou"] == 0.0
    assert values(detections(beyond))["matched_iou"] > 0.6
    small_but_nearer = (239.0, 159.0, 241.0, 161.0)
    assert values(detections(shifted, small_but_nearer))["nta_iou"] == pytest.approx(4 / 53**2)


def test_a_box_partly_outside_counts_in_the_honest_form_alone() -> None:
    agents = cubes((-9.0, 0.0, 10.0))  # left edge at 240 - 240 * 10 / 9 = -26.67, right edge at 240 - 240 * 8 / 11
    references = references_of(agents)
    assert not references.is_scored.any() and references.is_seen.all()
    right, full = 240 - 240 * 8 / 11, 240 * (10 / 9 - 8 / 11)
    assert 0.5 < right / full < 0.75
    expected = (0.0, 160 - 240 / 9, right, 160 + 240 / 9)
    torch.testing.assert_close(references.extents, torch.tensor([expected]))
    of = values(detections(expected), agents)
    assert math.isnan(of["nta_iou"]) and of["matched_iou"] == pytest.approx(1.0)
    mostly_outside = references_of(cubes((-10.5, 0.0, 10.0)))
    assert not mostly_outside.is_scored.any() and not mostly_outside.is_seen.any()


def test_a_box_behind_the_camera_or_around_it_is_no_reference() -> None:
    behind = references_of(cubes((0.0, 0.0, -10.0)))
    assert not behind.is_scored.any() and not behind.is_seen.any() and behind.extents.sum() == 0
    around = references_of(cubes((0.0, 0.0, 0.5)))
    assert not around.is_scored.any() and around.boxes.sum() == 0
    assert around.extents.tolist() == [[0.0, 0.0, 480.0, 320.0]]


def test_no_detection() -> None:
    of = values(detections())
    assert of["nta_iou"] == of["matched_iou"] == of["recall"] == 0.0
    assert math.isnan(of["precision"])


def test_two_references_may_take_one_detection_in_the_published_form_alone() -> None:
    of = values(detections(BOX), cubes(AHEAD, (0.1, 0.0, 10.0)))
    other = (215.0, 133.0, 269.0, 186.0)  # 240 - 240 * 0.9 / 9 - ..., whole pixels
    assert references_of(cubes((0.1, 0.0, 10.0))).boxes.tolist() == [list((216.0, *other[1:]))]
    overlap = twin.iou(BOX, (216.0, *other[1:]))
    assert of["nta_iou"] == pytest.approx((1 + overlap) / 2)
    assert of["nta_iou_single"] == pytest.approx(0.5)
    assert of["recall"] == 0.5 and of["precision"] == 1.0


@pytest.mark.parametrize(("count", "is_there"), [(9, False), (10, True)])
def test_ten_points_make_a_reference(count: int, is_there: bool) -> None:
    references = references_of(cubes(AHEAD), count)
    assert references.is_scored.tolist() == references.is_seen.tolist() == [is_there]
    of = values(detections(BOX), count=count)
    assert (of["nta_iou"] == 1.0) if is_there else math.isnan(of["nta_iou"])
    assert math.isnan(of["precision"]) != is_there  # nobody asks for that car, so it is not wrong to find it


@pytest.mark.parametrize(("labelled", "is_there"), [(9, False), (10, True), (-1, True)])
def test_points_of_the_top_lidar_as_labelled_go_before_those_of_the_scan(labelled: int, is_there: bool) -> None:
    """The scan, of all LiDARs, has 20 points in the box; -1 stands for a label that does not say."""
    agents = dataclasses.replace(cubes(AHEAD), top_points=torch.tensor([labelled]))
    references = references_of(agents, 20)
    assert references.is_scored.tolist() == references.is_seen.tolist() == [is_there]


def test_a_corner_must_have_been_recorded() -> None:
    agents = cubes(AHEAD)
    turned = torch.eye(4)
    turned[0, 0] = turned[2, 2] = -1.0  # looks back
    points = torch.zeros(10, 3) + torch.tensor(AHEAD)
    references = agent_references(agents, CAMERA, dataclasses.replace(CAMERA, world_from_camera=turned), points)
    assert not references.is_scored.any() and not references.is_seen.any()


def test_empty_frames_say_nothing_and_false_alarms_cost_precision_alone() -> None:
    metric = NovelTrajectoryAgentIoU()
    assert all(value.isnan() for value in metric.compute().values())
    metric.update([detections()], [references_of(cubes())])
    assert all(value.isnan() for value in metric.compute().values())
    metric.update(
        [detections(BOX), detections((10, 10, 60, 60))], [references_of(cubes(AHEAD)), references_of(cubes())]
    )
    of = {name: float(value) for name, value in metric.compute().items()}
    assert of["nta_iou"] == of["recall"] == 1.0 and of["precision"] == 0.5


def test_what_is_hidden_counts_in_the_published_form_alone() -> None:
    hidden = values(detections(), depth_m=torch.full((64, 96), 5.0))
    assert hidden["nta_iou"] == 0.0 and math.isnan(hidden["nta_iou_visible"]) and math.isnan(hidden["recall"])
    own_surface = torch.full((64, 96), 9.2)
    assert references_of(cubes(AHEAD), depth_m=own_surface).visible.tolist() == [1.0]
    assert references_of(cubes(AHEAD), depth_m=torch.zeros(64, 96)).visible.tolist() == [1.0]  # sky
    left_half = torch.full((320, 480), 9.2)
    left_half[:, :240] = 5.0
    assert float(references_of(cubes(AHEAD), depth_m=left_half).visible) == pytest.approx(0.5, abs=0.05)


def test_classes_and_scores_are_chosen() -> None:
    assert values(detections(BOX, score=0.5))["nta_iou"] == 0.0
    assert values(detections(BOX, name="truck"))["nta_iou"] == 0.0
    metric = NovelTrajectoryAgentIoU(classes=("truck",), min_score=0.3)
    metric.update([detections(BOX, score=0.4, name="truck")], [references_of(cubes(AHEAD))])
    assert metric.compute()["nta_iou"] == 1.0


def test_clips_count_alike_however_many_references_they_have() -> None:
    metric = NovelTrajectoryAgentIoU()
    metric.update([detections(BOX)] * 3, [references_of(cubes(AHEAD))] * 3, clip=4)
    metric.update([detections()], [references_of(cubes(AHEAD))], clip=7)
    assert metric.compute()["nta_iou"] == 0.5


def test_scores_are_those_of_the_slow_twins() -> None:
    for _ in range(20):
        corners = torch.rand(2, 4, 2) * 30
        sizes = 10 + torch.rand(2, 4, 2) * 30
        boxes, found = torch.cat([corners, corners + sizes], -1)
        tuples, found_tuples = [tuple(box) for box in boxes.tolist()], [tuple(box) for box in found[:3].tolist()]
        expected = torch.tensor([twin.nearest_iou(box, found_tuples) for box in tuples])
        torch.testing.assert_close(nearest_ious(boxes, found[:3]), expected)
        for max_px in (10.0, math.inf):
            scores, places = matched_ious(boxes, found[:3], max_px)
            assert float(scores.sum()) == pytest.approx(
                twin.greatest_sum_of_ious(tuples, found_tuples, max_px), abs=1e-5
            )
            taken = places[places >= 0].tolist()
            assert len(set(taken)) == len(taken)


def test_the_better_of_two_that_overlap_is_kept() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [20, 0, 30, 10]])
    found = Detections(boxes, torch.tensor([0.5, 0.9, 0.6, 0.4]), ("car", "car", "bus", "car"), 480, 320)
    assert suppress(found, 0.5).class_names == ("car", "bus", "car")
    assert suppress(found, 0.5).scores.tolist() == pytest.approx([0.9, 0.6, 0.4])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Vehicle", "vehicle.car", "REGULAR_VEHICLE", "Pickup Truck", "Semi-truck", "Van", "vehicle.bus.rigid"), True),
        (
            ("Pedestrian", "Cyclist", "vehicle.bicycle", "vehicle.motorcycle", "Sign", "CONSTRUCTION_CONE", "barrier"),
            False,
        ),
    ],
)
def test_vehicles_are_told_by_name(names: tuple[str, ...], expected: bool) -> None:
    assert [is_vehicle(name) for name in names] == [expected] * len(names)


def test_vehicles_at_a_time_stamp() -> None:
    def track(name: str, times: list[int]) -> Track:
        poses = torch.eye(4).repeat(len(times), 1, 1)
        counts = torch.tensor(times) + 7 if name == "Vehicle" else None
        return Track(name, name, torch.ones(3), torch.tensor(times), poses, False, counts)

    tracks = [track("Vehicle", [0, 1]), track("Pedestrian", [0]), track("Cyclist", [0]), track("Van", [2])]
    assert [len(vehicles_at(tracks, t).size_m) for t in range(4)] == [1, 1, 1, 0]
    assert [vehicles_at(tracks, t).top_points.tolist() for t in range(4)] == [[7], [8], [-1], []]


def test_pictures_of_another_size_are_refused() -> None:
    wide = dataclasses.replace(detections(BOX), width=1920)
    with pytest.raises(InputError, match=r"^detections: of 1920 x 320 pixels; expected 480 x 320$"):
        NovelTrajectoryAgentIoU().update([wide], [references_of(cubes(AHEAD))])
