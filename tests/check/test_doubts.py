"""What has an innocent explanation is no fault: uneven times, frames left out, repeating facades, scans that share
little. What has none still is one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_clip import ego_pose, write_tiny_clip

from faithfusion.check.evidence import Evidence
from faithfusion.check.findings import Finding, Level
from faithfusion.check.motion_faults import check_steps
from faithfusion.check.order import exchanged, fit_better_exchanged
from faithfusion.check.scan_match import best_correction
from faithfusion.check.scans import check_scan_agreement
from faithfusion.data.drive_reader import read_drive

NUM = 20


def on_a_straight_way(root: Path, places_m: np.ndarray, times_s: np.ndarray | None = None) -> Evidence:
    """A drive along x; only its motion is looked at."""
    root.mkdir()
    write_tiny_clip(root / "drive", num_frames=len(places_m), camera_names=("0",), optional=False)
    for t, place in enumerate(places_m):
        pose = np.eye(4)
        pose[:3, 3] = place if np.ndim(place) else (place, 0.0, 0.0)
        np.savetxt(root / "drive" / "ego_pose" / f"{t:03d}.txt", pose)
    marker = {"layout": "waymo"} | ({} if times_s is None else {"times_s": times_s.tolist()})
    (root / "drive" / "layout.json").write_text(json.dumps(marker))
    return Evidence(read_drive(root / "drive"), 3, {}, ())


def levels(findings: list[Finding]) -> set[Level]:
    return {finding.level for finding in findings}


def test_steps_are_divided_by_the_time_stamps(tmp_path: Path) -> None:
    """A recorder that alternates between 0.10 and 0.11 s at 40 m/s."""
    times_s = np.cumsum([0.0, *([0.10, 0.11] * NUM)])
    uneven = check_steps(on_a_straight_way(tmp_path / "without", 40.0 * times_s))
    assert levels(uneven) == {Level.REMARK} and "steps are uneven" in uneven[0].text and "times_s" in uneven[0].text
    assert not check_steps(on_a_straight_way(tmp_path / "with", 40.0 * times_s, times_s))


def test_frames_that_were_left_out_break_nothing(tmp_path: Path) -> None:
    places = np.array([1.4 * t for t in range(40) if t % 10 != 5])
    assert levels(check_steps(on_a_straight_way(tmp_path / "drive", places))) == {Level.REMARK}


@pytest.mark.parametrize("off_m", [(0.0, 3.0, 0.0), (-3.0, 0.0, 0.0), (3.0, 0.0, 0.0), (0.0, 0.0, 2.0)])
def test_a_place_off_the_way_is_a_fault(tmp_path: Path, off_m: tuple[float, float, float]) -> None:
    places = np.stack([np.arange(NUM) * 1.2, np.zeros(NUM), np.zeros(NUM)], 1)
    places[8] += off_m
    found = check_steps(on_a_straight_way(tmp_path / "drive", places))
    assert Level.BROKEN in levels(found)


def facade(t: int, period_px: float, step_px: float) -> np.ndarray:
    """Windows that repeat, with one car that keeps its place beside the camera."""
    x = np.arange(96) + t * step_px
    picture = np.tile(np.sin(2.0 * np.pi * x / period_px), (60, 1))
    picture[45:, 20 + t % 3 : 40 + t % 3] += 1.0
    return picture


def test_facades_that_repeat_are_in_order(tmp_path: Path) -> None:
    """The second next picture looks more like a picture than the next: an exchange would make the way shorter."""
    pictures = np.stack([facade(t, 20.0, 9.0) for t in range(24)])
    assert exchanged(pictures, 0.95).any()
    assert not any(fit_better_exchanged([pictures], t) for t in range(1, 22))


@pytest.mark.parametrize("first", [3, 8, 15])
def test_exchanged_pictures_are_told_among_others(first: int) -> None:
    random = np.random.default_rng(2)
    wall = np.cumsum(random.normal(size=(60, 400)), 1)
    pictures = np.stack([wall[:, 5 * t : 5 * t + 96] for t in range(24)])
    assert not any(fit_better_exchanged([pictures], t) for t in range(1, 22))
    pictures[[first, first + 1]] = pictures[[first + 1, first]]
    assert fit_better_exchanged([pictures], first)


def poles(count: int, seed: int) -> np.ndarray:
    """Upright rows of points around the tiny clip's way, in its first ego frame."""
    random = np.random.default_rng(seed)
    feet = np.stack([random.uniform(-15.0, 25.0, count), random.uniform(-20.0, 20.0, count)], 1)
    heights = np.arange(0.0, 3.0, 0.15)
    return np.concatenate([np.tile(feet[:, None], (1, len(heights), 1)), np.tile(heights[:, None], (count, 1, 1))], 2)


def scanned(root: Path, share: float, drift_m: float = 0.0) -> Evidence:
    """A drive whose scans have only `share` of their poles in common, and poses that drift to the side."""
    write_tiny_clip(root, num_frames=8, camera_names=("0",), optional=False)
    (root / "lidar").mkdir()
    common = poles(round(60 * share), 0)
    first = np.linalg.inv(ego_pose(0))
    for t in range(8):
        points = np.concatenate([common, poles(60 - len(common), t + 1)]).reshape(-1, 3)
        ego_from_world = np.linalg.inv(first @ ego_pose(t))
        rows = np.zeros((len(points), 14), "<f4")
        rows[:, 3:6] = points @ ego_from_world[:3, :3].T + ego_from_world[:3, 3]
        rows.tofile(root / "lidar" / f"{t:03d}.bin")
        wrong = ego_pose(t)
        wrong[:3, 3] += wrong[:3, 1] * drift_m * t
        np.savetxt(root / "ego_pose" / f"{t:03d}.txt", wrong)
    clip = read_drive(root)
    return Evidence(clip, 3, {}, tuple(None for _ in clip.lidar_paths))


def test_scans_that_share_little_do_not_accuse_right_poses(tmp_path: Path) -> None:
    evidence = scanned(tmp_path / "drive", 0.3)
    assert 0.2 < evidence.scan_match["given"] < 0.4
    found = check_scan_agreement(evidence)
    assert Level.BROKEN not in levels(found) and "as well as with any close to them" in found[0].text


def test_poses_that_drift_are_accused_by_the_same_scans(tmp_path: Path) -> None:
    evidence = scanned(tmp_path / "drive", 0.35, drift_m=0.375)  # 1.5 m to the left in 4 frames
    found = check_scan_agreement(evidence)
    assert found[0].level is Level.BROKEN and "contradict each other" in found[0].text
    assert evidence.scan_correction().shift_m == pytest.approx(1.5, abs=0.3)


def test_the_best_correction_is_the_motion_that_is_missing() -> None:
    here = poles(60, 0).reshape(-1, 3)
    angle = np.radians(6.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 0.0, 1.0]])
    there = here @ turn.T + [1.0, -0.5, 0.0]
    found = best_correction(here, there, np.eye(4), 0.3)
    assert found.shift_m == pytest.approx(np.hypot(1.0, 0.5)) and found.turn_deg == 6.0 and found.share > 0.95
    assert best_correction(here, here, np.eye(4), 0.3)[:2] == (0.0, 0.0)
