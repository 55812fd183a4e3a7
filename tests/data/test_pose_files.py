"""Files of poses: every format holds the same poses; what is no list of rigid poses is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from faithfusion.data.pose_files import read_ego_poses
from faithfusion.utils.errors import InputError


def make_poses(count: int = 3) -> np.ndarray:
    """Turned about z and then about the new y, by hand."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    for t, pose in enumerate(poses):
        a, b = 0.3 * t, 0.1 * t
        about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        pose[:3, :3], pose[:3, 3] = about_z @ about_y, [120_000.0 + t, -3.0 * t, 0.5]
    return poses


def quaternion_xyzw(t: int) -> list[float]:
    """The quaternion of `make_poses`: the product of the two half turns, written out."""
    a, b = 0.15 * t, 0.05 * t
    cz, sz, cy, sy = np.cos(a), np.sin(a), np.cos(b), np.sin(b)
    return [-sz * sy, cz * sy, sz * cy, cz * cy]


@pytest.fixture
def written(tmp_path: Path) -> dict[str, Path]:
    poses = make_poses()
    np.savetxt(tmp_path / "stack.txt", poses.reshape(-1, 4))
    np.savetxt(tmp_path / "flat.txt", poses.reshape(-1, 16), delimiter=", ", header="sixteen a line")
    np.savetxt(tmp_path / "kitti.txt", poses[:, :3].reshape(-1, 12))
    rows = [[0.1 * t, *pose[:3, 3], *quaternion_xyzw(t)] for t, pose in enumerate(poses)]
    np.savetxt(tmp_path / "tum.txt", rows, header="time x y z qx qy qz qw")
    (tmp_path / "whole.json").write_text(json.dumps(poses.tolist()))
    (tmp_path / "short.json").write_text(json.dumps(poses[:, :3].tolist()))
    return {path.name: path for path in tmp_path.iterdir()}


@pytest.mark.parametrize("name", ["stack.txt", "flat.txt", "kitti.txt", "tum.txt", "whole.json", "short.json"])
def test_every_format_holds_the_same_poses(written: dict[str, Path], name: str) -> None:
    np.testing.assert_allclose(read_ego_poses(written[name], 3), make_poses(), atol=1e-9)


@pytest.mark.parametrize("name", ["stack.txt", "kitti.txt", "tum.txt", "whole.json"])
def test_another_number_of_poses_is_refused(written: dict[str, Path], name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: 3 poses; expected one per time stamp of the clip: 49"):
        read_ego_poses(written[name], 49)


def kitti_rows(change: tuple[int, int], value: float) -> str:
    rows = make_poses()[:, :3].reshape(-1, 12)
    rows[change] = value
    return "\n".join(" ".join(map(str, row)) for row in rows)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "", "0 lines"),
        ("a.txt", "1 2 3\n4 5 6", "2 lines of 3 numbers"),
        ("a.txt", "1 2 3\n4 5", "unreadable"),
        ("a.txt", "one two three", "unreadable"),
        ("a.txt", "1 0 0 0\n0 1 0 0\n0 0 1 0", "3 lines of 4 numbers"),
        ("a.txt", kitti_rows((1, 3), float("nan")), "pose 1: a pose with NaN"),
        ("a.txt", kitti_rows((2, 0), 3.0), "pose 2: not rigid"),
        ("a.txt", "0 1 2 3 0 0 0 1\n1 1 2 3 0 0 0 2\n2 1 2 3 0 0 0 1", "length 2 in pose 1"),
        ("a.txt", "0 1 2 3 0 0 0 1\n0 1 2 3 0 0 0 1\n2 1 2 3 0 0 0 1", "times that do not ascend"),
        ("a.txt", "0 1 2 nan 0 0 0 1\n1 1 2 3 0 0 0 1\n2 1 2 3 0 0 0 1", "NaN"),
        ("a.json", "[[1, 2", "unreadable"),
        ("a.json", '{"poses": []}', "unreadable"),
        ("a.json", "[1, 2, 3]", "numbers of shape (3,)"),
        ("a.json", "[[[1, 2], [3]]]", "unreadable"),
        ("a.json", json.dumps(make_poses().tolist()).replace("0.5]", "NaN]"), "NaN"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError) as refusal:
        read_ego_poses(path, 3)
    assert str(path) in str(refusal.value)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_ego_poses(tmp_path / "nothing.txt", 3)
    (tmp_path / "binary.txt").write_bytes(b"\xfe\x00\x81\x9f")
    with pytest.raises(InputError, match="cannot be read"):
        read_ego_poses(tmp_path / "binary.txt", 3)
    with pytest.raises(InputError, match="cannot be read"):
        read_ego_poses(tmp_path, 3)
