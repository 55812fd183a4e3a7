"""The lines of a drive: from a street's plan, from the file of a map, or the reason why there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_clip import ego_pose, write_tiny_clip

from faithfusion.data.drive_map import CROSSWALK, ROAD_EDGE, ROAD_LINE, DriveMap, MapLine, write_drive_map
from faithfusion.data.drive_reader import read_drive
from faithfusion.evaluate.driving.drive_references import drive_road_lines, missing_road_lines, street_lines
from faithfusion.evaluate.driving.lane_references import lane_reference, long_sides
from faithfusion.street.street_config import StreetConfig
from faithfusion.street.writer import make_street
from faithfusion.types import DriveClip
from faithfusion.utils.errors import InputError

AHEAD = np.array([[2.0, -1.0, 0.0], [10.0, -1.0, 0.0], [30.0, -1.5, 0.25]])  # in the first ego frame
ACROSS = np.array([[12.0, -4.0, 0.0], [15.0, -4.0, 0.0], [15.0, 5.0, 0.0], [12.0, 5.0, 0.0]])
DRIFT = np.array([[0.0, 0.0, 0.0], [0.25, -0.5, 0.125]])  # in the first ego frame, at each time stamp


@pytest.fixture
def clip(tmp_path: Path) -> DriveClip:
    return read_drive(write_tiny_clip(tmp_path / "drive", num_frames=2))


def write_map(clip: DriveClip, drift: np.ndarray | None = DRIFT) -> None:
    """What `AHEAD` and `ACROSS` are in the world of the drive's files, as if the poses had drifted."""
    pose = ego_pose(0)
    lines = [MapLine(kind, points @ pose[:3, :3].T + pose[:3, 3]) for kind, points in
             ((ROAD_LINE, AHEAD), (CROSSWALK, ACROSS), (ROAD_EDGE, AHEAD + [0.0, 6.0, 0.0]))]  # fmt: skip
    offsets = None if drift is None else drift @ pose[:3, :3].T
    write_drive_map(clip.root, DriveMap("a test", tuple(lines), offsets))


def test_lines_of_a_map_lie_in_the_clips_world_at_every_time_stamp(clip: DriveClip) -> None:
    write_map(clip)
    lines = drive_road_lines(clip)
    assert lines.source == "a test" and missing_road_lines(clip) is None
    for t, drift in enumerate(DRIFT):
        line, near, far, edge = lines.at(t)
        # 120 km from the origin a millimetre is what the file keeps
        torch.testing.assert_close(line, torch.tensor(AHEAD - drift).float(), atol=1e-3, rtol=0)
        torch.testing.assert_close(near, torch.tensor(ACROSS[1:3] - drift).float(), atol=1e-3, rtol=0)
        torch.testing.assert_close(far, torch.tensor(ACROSS[[3, 0]] - drift).float(), atol=1e-3, rtol=0)
        torch.testing.assert_close(edge, torch.tensor(AHEAD + [0, 6, 0] - drift).float(), atol=1e-3, rtol=0)
    write_map(clip, None)
    for t in range(2):
        torch.testing.assert_close(drive_road_lines(clip).at(t)[0], torch.tensor(AHEAD).float(), atol=1e-3, rtol=0)


def test_a_mark_on_the_road_falls_where_the_recorded_camera_sees_it(clip: DriveClip) -> None:
    """The camera stands 1.5 m high, 1 m before and 0.25 m beside the ego; its focal length is 0.8 of the width."""
    write_map(clip, None)
    lane = lane_reference(drive_road_lines(clip).at(0), clip.frame(0, "0").camera).lane
    x, y = 10.0 - 1.0, -1.0 - 0.25
    column = (0.5 - 0.8 * y / x) * 640
    row = (0.5 + 0.8 * 32 / 24 * 1.5 / x) * 360
    assert lane[round(row), round(column)] and not lane[round(row), round(column) - 30]


def test_too_few_offsets_are_refused(clip: DriveClip) -> None:
    write_map(clip, DRIFT[:1])
    with pytest.raises(InputError, match=r"map_lines.json: offsets of 1 time stamps; expected those of the drive's 2$"):
        drive_road_lines(clip)


def test_drives_without_a_map_say_why(clip: DriveClip, shared_data: Path) -> None:
    for drive in (clip, read_drive(shared_data / "kitti_0001", num_frames=1, camera_names=("0",))):
        assert drive_road_lines(drive) is None
        assert missing_road_lines(drive) == (
            "no map_lines.json, which prepare_waymo (--map) and prepare_py123d write; KITTI's raw drives have no map"
        )


def test_a_street_has_those_of_its_plan(tmp_path: Path) -> None:
    config = StreetConfig(
        seed=1, num_frames=1, width=32, height=24, samples_per_pixel=1, camera_names=("0",), shifts_m=(),
        lidar_columns=30, num_workers=1,
    )  # fmt: skip
    make_street(config, tmp_path / "street")
    clip = read_drive(tmp_path / "street")
    lines = drive_road_lines(clip)
    assert lines.source == "the street's own plan" and missing_road_lines(clip) is None
    expected = street_lines(clip.root)
    assert len(expected) == len(lines.at(0)) > 4
    for line, other in zip(lines.at(0), expected, strict=True):
        assert torch.equal(line, other)


@pytest.mark.parametrize("turn", [0.0, 0.4, 1.3, 2.8])
def test_long_sides_of_a_crosswalk(turn: float) -> None:
    """4 m x 12 m, one end cut off askew and one long side with a corner in its middle."""
    outline = torch.tensor([[0.0, 0, 1], [4, 0, 1], [4, 6, 2], [4, 12, 3], [2, 12.5, 3], [0, 12, 3]])
    rotation = torch.tensor([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]).float()
    for start in range(6):
        places = [(start + k) % 6 for k in range(6)]
        sides = long_sides(outline[places] @ rotation.T)
        found = sorted((side @ rotation for side in sides), key=len)
        torch.testing.assert_close(found[0], outline[[5, 0]], atol=1e-5, rtol=0)
        torch.testing.assert_close(found[1], outline[[1, 2, 3]], atol=1e-5, rtol=0)
        assert len(sides) == 2


def test_a_crosswalk_without_width_is_its_own_line() -> None:
    outline = torch.tensor([[0.0, 0, 0], [5, 0, 0], [10, 0, 0]])
    (side,) = long_sides(outline)
    assert torch.equal(side, outline[[0, 1, 2, 0]])
