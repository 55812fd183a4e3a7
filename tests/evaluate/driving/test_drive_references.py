"""References of a procedural street against what its true views show, and drives that have no labels."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.trajectories import shifted_cameras
from faithfusion.evaluate.driving.agent_references import HEIGHT, WIDTH, AgentReferences
from faithfusion.evaluate.driving.drive_references import drive_agents, require_labels, street_lines
from faithfusion.evaluate.driving.lane_references import lane_reference
from faithfusion.street.street_config import StreetConfig
from faithfusion.street.truth import TrueView, load_truth
from faithfusion.street.writer import make_street
from faithfusion.types import DriveClip
from faithfusion.utils.errors import InputError

STREET = StreetConfig(
    seed=1, num_frames=2, width=240, height=160, samples_per_pixel=1, camera_names=("0",), shifts_m=(3.0,),
    lidar_columns=300, num_workers=1,
)  # fmt: skip
SHIFTS_M = (0.0, 3.0)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> DriveClip:
    root = tmp_path_factory.mktemp("street") / "drive"
    make_street(STREET, root)
    return read_drive(root)


def agents(street: DriveClip, shift_m: float, *, with_depth: bool = True) -> tuple[AgentReferences, TrueView]:
    view = load_truth(street.root, shift_m, "0", 1)
    camera = shifted_cameras(street, "0", shift_m)[1]
    return drive_agents(street, street.frame(1, "0"), camera, view.depth if with_depth else None), view


def extent_of(mask: Tensor) -> Tensor:
    rows, columns = mask.nonzero().unbind(1)
    pixels = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
    return pixels * torch.tensor([WIDTH / mask.shape[1], HEIGHT / mask.shape[0]]).repeat(2)


def numbers_at(street: DriveClip, t: int) -> list[int]:
    """Instance numbers of the boxes at one time stamp, in the order of the references."""
    return [int(track.track_id.split("_")[-1]) for track in street.tracks if t in track.time_indices.tolist()]


@pytest.mark.parametrize("shift_m", SHIFTS_M)
def test_boxes_hold_the_pixels_of_their_cars(street: DriveClip, shift_m: float) -> None:
    references, view = agents(street, shift_m)
    seen = references.is_seen.nonzero()[:, 0].tolist()
    assert len(seen) >= 4
    numbers = numbers_at(street, 1)
    assert len(numbers) == len(references.boxes)
    pixel = WIDTH / view.depth.shape[1]
    for place in seen:
        shown = extent_of(view.instance_ids == numbers[place] + 1)
        box = references.extents[place]
        assert (shown[:2] >= box[:2] - pixel).all() and (shown[2:] <= box[2:] + pixel).all()
        if references.is_scored[place]:
            assert (references.boxes[place] - box).abs().max() <= 1.0
        if references.visible[place] > 0.95:
            assert (shown[2:] - shown[:2]).prod() > 0.5 * (box[2:] - box[:2]).prod()


@pytest.mark.parametrize("shift_m", SHIFTS_M)
def test_the_visible_share_is_that_of_the_pixels(street: DriveClip, shift_m: float) -> None:
    """A car fills about 0.7 of its box where nothing hides it."""
    references, view = agents(street, shift_m)
    boxes = references.extents
    is_whole = (boxes[:, :2] > 0).all(-1) & (boxes[:, 2] < WIDTH) & ((boxes[:, 2:] - boxes[:, :2]).amin(-1) > 4)
    numbers, shares = numbers_at(street, 1), []
    for place in is_whole.nonzero()[:, 0].tolist():
        area = float((boxes[place, 2:] - boxes[place, :2]).prod()) * view.depth.numel() / (WIDTH * HEIGHT)
        shares.append(float((view.instance_ids == numbers[place] + 1).sum()) / area / 0.7)
    visible = references.visible[is_whole]
    assert len(shares) >= 8 and visible.min() < 0.5 < 0.95 < visible.max()
    torch.testing.assert_close(visible, torch.tensor(shares), atol=0.36, rtol=0.0)
    assert float(torch.corrcoef(torch.stack([visible, torch.tensor(shares)]))[0, 1]) > 0.85
    without, _ = agents(street, shift_m, with_depth=False)
    assert (without.visible == 1).all()


@pytest.mark.parametrize("shift_m", SHIFTS_M)
def test_lines_lie_on_paint_and_cars_hide_them(street: DriveClip, shift_m: float) -> None:
    view = load_truth(street.root, shift_m, "0", 1)
    reference = lane_reference(street_lines(street.root), shifted_cameras(street, "0", shift_m)[1], view.depth)
    small = torch.nn.functional.interpolate(view.color.mean(-1)[None, None], (360, 640), mode="bilinear")[0, 0]
    ids = torch.nn.functional.interpolate(view.instance_ids[None, None].float(), (360, 640))[0, 0]
    lane, beside = reference.lane & ~reference.is_hidden, ~reference.lane
    near = torch.zeros_like(lane)
    near[240:, 160:480] = True  # the road in front of the camera
    near &= ids == 0
    brightest = small[lane & near].quantile(0.9)
    assert brightest > small[beside & near].quantile(0.9) + 0.08
    assert (ids[reference.is_hidden] > 0).float().mean() > 0.3
    assert (ids[lane] > 0).float().mean() < 0.1


def test_folders_without_what_is_needed(street: DriveClip, shared_data: Path, tmp_path: Path) -> None:
    kitti = read_drive(shared_data / "kitti_0001", num_frames=1, camera_names=("0",))
    with pytest.raises(InputError, match=r"kitti_0001: a drive without boxes; expected boxes and LiDAR"):
        drive_agents(kitti, kitti.frame(0, "0"), kitti.frame(0, "0").camera)
    counted = dataclasses.replace(street.tracks[0], top_points=torch.zeros_like(street.tracks[0].time_indices))
    blind = dataclasses.replace(street, missing=("lidar",))
    with pytest.raises(InputError, match=r"drive: a drive without lidar; expected boxes and LiDAR"):
        require_labels(blind)
    require_labels(dataclasses.replace(blind, tracks=(counted,)))  # its labels say how many points there were
    with pytest.raises(InputError, match=r"street.json: no such file; expected a street of `make_street.py`"):
        street_lines(tmp_path)
