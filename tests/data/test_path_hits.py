"""What stands in the way of a new path: boxes at their own time, walls, not kerbs and not the ground."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_clip import pose_at, write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.new_path import clip_path
from faithfusion.data.path_hits import PathHit, outlines_overlap, path_hits, warning_line
from faithfusion.data.trajectory_config import TrajectoryEntry
from faithfusion.types import DriveClip, Track

NUM_FRAMES = 40
SCAN_COLUMNS = 14


def drive(root: Path, points_world: np.ndarray) -> DriveClip:
    """Straight ahead along x, 1 m per time stamp; every scan sees all points within 30 m, in its own frame."""
    write_tiny_clip(root, num_frames=NUM_FRAMES, camera_names=("0",), width=8, height=8, optional=False)
    (root / "lidar").mkdir()
    for t in range(NUM_FRAMES):
        np.savetxt(root / "ego_pose" / f"{t:03d}.txt", pose_at(t, 0.0, 0.0))
        near = points_world[np.abs(points_world[:, 0] - t) < 30.0]
        rows = np.zeros((len(near), SCAN_COLUMNS), np.float32)
        rows[:, 3:6] = near - [t, 0.0, 0.0]
        rows.tofile(root / "lidar" / f"{t:03d}.bin")
    return read_drive(root)


def block(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], step: float = 0.25) -> np.ndarray:
    axes = [np.arange(low, high + 1e-9, step) for low, high in (x, y, z)]
    return np.array(list(itertools.product(*axes)))


ROAD = block((-20.0, 60.0), (-12.0, 12.0), (-0.3, -0.3), 0.5)
KERB = block((-20.0, 60.0), (4.0, 6.0), (-0.15, -0.15), 0.5)
WALL = block((18.0, 24.0), (4.5, 4.5), (-0.3, 3.0))


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> DriveClip:
    return drive(tmp_path_factory.mktemp("hits") / "street", np.concatenate([ROAD, KERB, WALL]))


def hits_at(clip: DriveClip, *entries: TrajectoryEntry) -> tuple[PathHit, ...]:
    return path_hits(clip, clip_path(clip, entries))


def test_a_wall_is_hit_where_it_stands_and_a_kerb_is_not(street: DriveClip) -> None:
    (hit,) = hits_at(street, TrajectoryEntry(shift_m=4.0))
    assert hit.what == "over points up to 1.8 m above the ground"  # what is higher than the car does not matter
    # the car reaches 3.8 m ahead of the ego's origin and 1 m behind it
    assert (hit.from_m, hit.to_m) == (15.0, 24.0)
    for free in (1.0, -4.0, 2.0, 6.0):  # 6 m: beyond the wall, over the kerb
        assert hits_at(street, TrajectoryEntry(shift_m=free)) == ()


def test_a_lane_change_hits_only_where_it_has_got_there(street: DriveClip) -> None:
    assert hits_at(street, TrajectoryEntry(shift_m=4.0, over_m=(26.0, 36.0))) == ()
    (hit,) = hits_at(street, TrajectoryEntry(shift_m=4.0, over_m=(14.0, 24.0)))
    assert 18.0 <= hit.from_m <= 22.0 and hit.to_m <= 24.0


def test_a_raised_car_is_a_taller_one(street: DriveClip) -> None:
    (hit,) = hits_at(street, TrajectoryEntry(shift_m=4.0, raise_m=1.0))
    assert hit.what.startswith("over points up to 2.8 m")


def test_a_sloping_road_is_no_obstacle_and_a_low_wall_on_it_is(tmp_path: Path) -> None:
    def sloping(points: np.ndarray) -> np.ndarray:
        return points + np.array([[0.0, 0.0, 1.0]]) * (0.05 * points[:, :1] + 0.06 * points[:, 1:2])

    assert hits_at(drive(tmp_path / "bare", sloping(ROAD)), TrajectoryEntry(shift_m=4.0)) == ()
    low = block((18.0, 24.0), (3.5, 4.5), (-0.3, 0.2))
    (hit,) = hits_at(drive(tmp_path / "low", sloping(np.concatenate([ROAD, low]))), TrajectoryEntry(shift_m=4.0))
    assert hit.what == "over points up to 0.5 m above the ground"
    assert (hit.from_m, hit.to_m) == (15.0, 24.0)


def test_few_high_points_are_noise(tmp_path: Path) -> None:
    rain = np.array([[20.0, 3.0, 1.0], [20.1, 3.1, 1.0], [20.2, 3.0, 1.2]])
    assert hits_at(drive(tmp_path / "rain", np.concatenate([ROAD, rain])), TrajectoryEntry(shift_m=3.0)) == ()


def test_what_the_recording_car_stood_in_is_itself(tmp_path: Path) -> None:
    clip = drive(tmp_path / "hood", ROAD)
    for t in range(NUM_FRAMES):
        path = clip.lidar_paths[t]
        rows = np.fromfile(path, "<f4").reshape(-1, SCAN_COLUMNS)
        hood = np.zeros((20, SCAN_COLUMNS), np.float32)
        hood[:, 3:6] = [2.5, 0.5, 0.8]
        np.concatenate([rows, hood]).tofile(path)
    assert hits_at(clip, TrajectoryEntry(shift_m=1.0)) == ()


def car(track_id: str, times: range, start: tuple[float, float], speed: float, *, is_moving: bool) -> Track:
    poses = torch.eye(4).repeat(len(times), 1, 1)
    poses[:, 0, 3] = start[0] + speed * torch.arange(len(times))
    poses[:, 1, 3] = start[1]
    size = torch.tensor([4.0, 1.8, 1.5])
    return Track(track_id, "Vehicle", size, torch.tensor(list(times)), poses, is_moving)


def test_boxes_are_met_at_their_own_time(tmp_path: Path) -> None:
    clip = drive(tmp_path / "boxes", ROAD)
    oncoming = car("7", range(NUM_FRAMES), (60.0, 3.0), -1.0, is_moving=True)
    parked = car("9", range(3), (30.0, -3.0), 0.0, is_moving=False)  # labelled at the start only
    clip = dataclasses.replace(clip, tracks=(oncoming, parked))
    assert hits_at(clip, TrajectoryEntry(shift_m=0.1)) == ()
    (hit,) = hits_at(clip, TrajectoryEntry(shift_m=3.0))
    # x of the ego: t; of the car: 60 - t. They touch while -1 - 2 < 60 - 2 t < 3.8 + 2
    assert hit == PathHit("through Vehicle 7", 28.0, 31.0)
    (hit,) = hits_at(clip, TrajectoryEntry(shift_m=-3.0))
    assert hit == PathHit("through Vehicle 9", 25.0, 32.0)  # -1 - 2 < 30 - t < 3.8 + 2


def test_points_on_a_box_are_not_told_twice(tmp_path: Path) -> None:
    body = block((28.0, 32.0), (-3.9, -2.1), (-0.2, 1.2))
    clip = drive(tmp_path / "body", np.concatenate([ROAD, body]))
    (hit,) = hits_at(clip, TrajectoryEntry(shift_m=-3.0))
    assert hit.what.startswith("over points")
    box = car("9", range(NUM_FRAMES), (30.0, -3.0), 0.0, is_moving=False)
    poses = box.world_from_box.clone()
    poses[:, 2, 3] = 0.5
    clip = dataclasses.replace(clip, tracks=(dataclasses.replace(box, world_from_box=poses),))
    (hit,) = hits_at(clip, TrajectoryEntry(shift_m=-3.0))
    assert hit.what == "through Vehicle 9"


def test_rectangles_overlap_as_their_points_do() -> None:
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41)), -1).reshape(-1, 2)
    both = {True: 0, False: 0}
    for _ in range(300):
        frames, outlines = [], []
        for _ in range(2):
            angle, centre, half = rng.uniform(0, 6.3), rng.uniform(-2, 2, 2), rng.uniform(0.3, 1.5, 2)
            rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            frames.append((rotation, centre, half))
            outlines.append(np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half @ rotation.T + centre)
        (rotation, centre, half), (other, there, size) = frames
        points = grid * half @ rotation.T + centre
        depth = (size - np.abs((points - there) @ other)).min(-1).max()  # how deep the deepest point lies in the other
        if abs(depth) < 0.1:
            continue  # nearer than the grid is fine
        assert outlines_overlap(*outlines) == outlines_overlap(*outlines[::-1]) == (depth > 0)
        both[bool(depth > 0)] += 1
    assert min(both.values()) > 50


def test_many_hits_stay_one_line() -> None:
    hits = [PathHit(f"through Vehicle {i}", 10.0 * i, 10.0 * i + 4.0) for i in range(8)]
    line = warning_line(hits)
    assert line.startswith(
        "The new path passes through Vehicle 0 from 0 to 4 m driven; through Vehicle 1 from 10 to 14"
    )
    assert line.endswith("; 3 more.") and "\n" not in line
    assert warning_line([PathHit("over points", 3.1, 3.2)]) == "The new path passes over points at 3 m driven."
