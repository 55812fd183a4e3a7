"""The language of trajectories: what it accepts from YAML and the command line, and what it refuses in one line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from faithfusion.config import parse_config
from faithfusion.data.trajectory_config import TrajectoryEntry, check_entries, constant_shift_m, describe_entries
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain


@dataclass(frozen=True)
class Holder:
    """Something with a trajectory."""

    trajectory: tuple[TrajectoryEntry, ...] = ()


def parse(text: str) -> tuple[TrajectoryEntry, ...]:
    return parse_config(Holder, ["--trajectory", text]).trajectory


def test_yaml_and_the_command_line_say_the_same(tmp_path: Path) -> None:
    text = "[{shift_m: 3, over_m: [20, 50]}, {raise_m: 0.5, yaw_deg: -10}, {poses: my.txt, poses_world: start}]"
    expected = (
        TrajectoryEntry(shift_m=3.0, over_m=(20.0, 50.0)),
        TrajectoryEntry(raise_m=0.5, yaw_deg=-10.0),
        TrajectoryEntry(poses="my.txt", poses_world="start"),
    )
    assert parse(text) == expected
    path = tmp_path / "a.yaml"
    path.write_text(f"trajectory: {text}\n")
    assert parse_config(Holder, ["--config", str(path)]).trajectory == expected
    path.write_text(yaml.safe_dump(to_plain(Holder(expected))))  # as a run stores its configuration
    assert parse_config(Holder, ["--config", str(path)]).trajectory == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{shft_m: 3}]", "shft_m"),
        ("[{shift_m: abc}]", "abc"),
        ("[{shift_m: .nan}]", "trajectory.shift_m: nan"),
        ("[{raise_m: .inf}]", "trajectory.raise_m: inf"),
        ("[{yaw_deg: .nan}]", "trajectory.yaw_deg: nan"),
        ("[{}]", "trajectory"),
        ("[{over_m: [3, 9]}]", "changes nothing"),
        ("[{shift_m: 0}]", "changes nothing"),
        ("[{shift_m: 3, over_m: [50, 20]}]", "over_m: [50.0, 20.0]"),
        ("[{shift_m: 3, over_m: [20, 20]}]", "over_m: [20.0, 20.0]"),
        ("[{shift_m: 3, over_m: [-1, 20]}]", "over_m: [-1.0, 20.0]"),
        ("[{shift_m: 3, over_m: [.nan, 20]}]", "over_m: [nan, 20.0]"),
        ("[{shift_m: 3, over_m: [1, .inf]}]", "over_m: [1.0, inf]"),
        ("[{shift_m: 3, over_m: [20]}]", "over_m"),
        ("[{poses: a.txt, shift_m: 1}]", "trajectory.poses"),
        ("[{poses: a.txt, over_m: [1, 2]}]", "trajectory.poses"),
        ("[{poses: a.txt, poses_world: moon}]", "moon"),
        ("3", "trajectory"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse(text)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_only_one_file_can_replace_the_recorded_poses() -> None:
    with pytest.raises(InputError, match=r"a\.txt, b\.txt; expected at most one"):
        check_entries(parse("[{poses: a.txt}, {shift_m: 1}, {poses: b.txt}]"))


def test_a_constant_shift_is_told_from_everything_else() -> None:
    assert constant_shift_m(parse("[{shift_m: 1}, {shift_m: 1.5}]")) == 2.5
    for other in ("{raise_m: 1}", "{yaw_deg: 1}", "{poses: a.txt}", "{shift_m: 1, over_m: [0, 9]}"):
        assert constant_shift_m(parse(f"[{{shift_m: 3}}, {other}]")) is None


def test_entries_are_described_in_words() -> None:
    entries = parse("[{shift_m: 3, over_m: [20, 50.5]}, {raise_m: -0.5, yaw_deg: 10}, {poses: some/where/my.txt}]")
    assert describe_entries(entries) == (
        "shift +3.00 m over 20-50.5 m, raise -0.50 m and yaw +10.0 deg, poses of my.txt"
    )
