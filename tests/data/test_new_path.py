"""A trajectory over a drive: poses against matrices by hand, stages, files, limits."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_clip import ego_pose, pose_at, write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.new_path import clip_path, driven_m, lay_out, path_cameras
from faithfusion.data.trajectories import distance_from_path_m, shifted_cameras
from faithfusion.data.trajectory_config import TrajectoryEntry
from faithfusion.types import DriveClip
from faithfusion.utils.errors import InputError

NUM_FRAMES = 8


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DriveClip:
    """A drive of 1 m per time stamp that turns by 0.02 rad, far from the origin of the drive's own world."""
    return read_drive(write_tiny_clip(tmp_path_factory.mktemp("p") / "tiny", num_frames=NUM_FRAMES, optional=False))


def turn_z(degrees: float) -> np.ndarray:
    return pose_at(0.0, 0.0, 0.0, math.radians(degrees))


@pytest.mark.parametrize("name", ["0", "1"])
@pytest.mark.parametrize("shift_m", [3.0, -1.25])
def test_a_constant_shift_moves_cameras_as_before(clip: DriveClip, name: str, shift_m: float) -> None:
    path = clip_path(clip, [TrajectoryEntry(shift_m=shift_m)])
    assert path.shift_m == shift_m
    for camera, expected in zip(path_cameras(clip, name, path), shifted_cameras(clip, name, shift_m), strict=True):
        torch.testing.assert_close(camera.world_from_camera, expected.world_from_camera, atol=2e-6, rtol=0)
        assert torch.equal(camera.world_from_camera[:3, :3], expected.world_from_camera[:3, :3])
        assert torch.equal(camera.intrinsics, expected.intrinsics)


def test_a_lane_change_grows_smoothly_over_metres_driven(clip: DriveClip) -> None:
    path = clip_path(clip, [TrajectoryEntry(shift_m=-2.0, over_m=(1.0, 5.0))])
    np.testing.assert_allclose(driven_m(path.recorded), np.arange(NUM_FRAMES), atol=1e-4)
    moved = np.linalg.inv(path.recorded) @ path.world_from_ego()
    expected = [0.0, 0.0, -2 * 0.15625, -1.0, -2 * 0.84375, -2.0, -2.0, -2.0]
    np.testing.assert_allclose(moved[:, 1, 3], expected, atol=1e-4)
    np.testing.assert_allclose(moved[:, [0, 2], 3], 0.0, atol=1e-6)
    np.testing.assert_allclose(moved[:, :3, :3], np.tile(np.eye(3), (NUM_FRAMES, 1, 1)), atol=1e-6)
    assert path.shift_m is None
    there_and_back = clip_path(
        clip, [TrajectoryEntry(shift_m=2.0, over_m=(0.0, 3.0)), TrajectoryEntry(shift_m=-2.0, over_m=(3.0, 6.0))]
    )
    assert there_and_back.offsets()[[0, 3, 6, 7], 0] == pytest.approx([0.0, 2.0, 0.0, 0.0], abs=1e-3)


def test_metres_are_driven_ones_and_not_time_stamps() -> None:
    recorded = np.stack([pose_at(x, 0.0, 0.0) for x in (0.0, 0.5, 1.0, 5.0, 9.0, 10.0)])
    path = lay_out([TrajectoryEntry(shift_m=1.0, over_m=(0.0, 10.0))], recorded, np.eye(4))
    assert path.offsets()[:, 0] == pytest.approx([0.0, 0.00725, 0.028, 0.5, 0.972, 1.0])


def test_a_yaw_turns_the_whole_rig_about_the_egos_origin(clip: DriveClip) -> None:
    path = clip_path(clip, [TrajectoryEntry(yaw_deg=30.0)])
    assert path.displacement_m().max() == 0.0
    for t in (0, 5):
        for name in clip.camera_names:
            recorded = clip.frame(t, name).camera.world_from_camera.double().numpy()
            ego = clip.world_from_ego[t].double().numpy()
            expected = ego @ turn_z(30.0) @ np.linalg.inv(ego) @ recorded
            found = path_cameras(clip, name, path)[t].world_from_camera.numpy()
            np.testing.assert_allclose(found, expected, atol=1e-5)
            in_ego = (np.linalg.inv(ego) @ found)[:3, 3]
            before = (np.linalg.inv(ego) @ recorded)[:3, 3]
            assert np.linalg.norm(in_ego[:2]) == pytest.approx(np.linalg.norm(before[:2]), abs=1e-5)
            assert in_ego[1] > before[1] + 0.3  # the camera, in front of the axis, goes left


def test_entries_add_up_in_any_order(clip: DriveClip) -> None:
    entries = [
        TrajectoryEntry(shift_m=2.0),
        TrajectoryEntry(yaw_deg=25.0),
        TrajectoryEntry(shift_m=-0.5, raise_m=0.75),
        TrajectoryEntry(yaw_deg=-10.0, over_m=(2.0, 4.0)),
    ]
    forth, back = (clip_path(clip, chosen).world_from_ego() for chosen in (entries, entries[::-1]))
    np.testing.assert_allclose(forth, back, atol=1e-12)
    for t, yaw_deg in ((0, 25.0), (3, 20.0), (7, 15.0)):
        # moved along the recorded ego's axes, then turned
        expected = clip.world_from_ego[t].double().numpy() @ pose_at(0.0, 1.5, 0.75) @ turn_z(yaw_deg)
        np.testing.assert_allclose(forth[t], expected, atol=1e-3)


def test_a_file_replaces_the_recorded_poses_and_entries_move_it(clip: DriveClip, tmp_path: Path) -> None:
    wanted = np.stack([ego_pose(t) @ pose_at(-0.5 * t, 1.0, 0.0) @ turn_z(2.0 * t) for t in range(NUM_FRAMES)])
    np.savetxt(tmp_path / "drive.txt", wanted[:, :3].reshape(-1, 12), fmt="%.9f")
    in_clip = np.linalg.inv(ego_pose(0)) @ wanted
    (tmp_path / "start.json").write_text(json.dumps(in_clip.tolist()))
    for name, world in (("drive.txt", "drive"), ("start.json", "start")):
        entry = TrajectoryEntry(poses=str(tmp_path / name), poses_world=world)
        path = clip_path(clip, [entry])
        np.testing.assert_allclose(path.world_from_ego(), in_clip, atol=1e-5)
        moved = clip_path(clip, [TrajectoryEntry(shift_m=0.5, yaw_deg=10.0), entry]).world_from_ego()
        np.testing.assert_allclose(moved, in_clip @ pose_at(0.0, 0.5, 0.0) @ turn_z(10.0), atol=1e-5)
        assert path.shift_m is None
        assert path.displacement_m().max() == pytest.approx(1.0, abs=0.05)  # behind on the path is not away from it
    assert clip_path(clip, [entry]).key() != clip_path(clip, [TrajectoryEntry(shift_m=1.0)]).key()
    before = clip_path(clip, [entry]).key()
    (tmp_path / "start.json").write_text(json.dumps((in_clip @ pose_at(0.0, 0.1, 0.0)).tolist()))
    assert clip_path(clip, [entry]).key() != before  # the same name with other poses is another path


def test_stages_scale_moves_and_blend_files(clip: DriveClip, tmp_path: Path) -> None:
    entries = [
        TrajectoryEntry(shift_m=3.0, over_m=(1.0, 4.0)),
        TrajectoryEntry(yaw_deg=30.0),
        TrajectoryEntry(raise_m=1),
    ]
    path = clip_path(clip, entries)
    stages = path.stages(3)
    for number, stage in enumerate(stages, 1):
        np.testing.assert_allclose(stage.offsets(), path.offsets() * number / 3)
    steps = np.diff([np.zeros(NUM_FRAMES), *(stage.displacement_m() for stage in stages)], axis=0)
    np.testing.assert_allclose(steps, np.tile(steps[:1], (3, 1)), atol=1e-9)
    assert [stage.name for stage in stages] == [f"trajectory {number} of 3" for number in (1, 2, 3)]
    np.testing.assert_array_equal(stages[-1].world_from_ego(), path.world_from_ego())

    recorded = clip.world_from_ego.double().numpy()
    wanted = recorded @ pose_at(0.5, 2.0, 0.0) @ turn_z(40.0)
    (tmp_path / "poses.json").write_text(json.dumps(wanted.tolist()))
    file = clip_path(clip, [TrajectoryEntry(poses=str(tmp_path / "poses.json"), poses_world="start")])
    for number, stage in enumerate(file.stages(4), 1):
        expected = recorded @ pose_at(0.125 * number, 0.5 * number, 0.0) @ turn_z(10.0 * number)
        np.testing.assert_allclose(stage.world_from_ego(), expected, atol=1e-6)


def test_names_of_pure_shifts_stay_what_they_were(clip: DriveClip) -> None:
    path = clip_path(clip, [TrajectoryEntry(shift_m=1.0), TrajectoryEntry(shift_m=2.0)])
    assert [stage.name for stage in path.stages(3)] == ["shift +1.00 m", "shift +2.00 m", "shift +3.00 m"]
    assert [stage.chance_name for stage in path.stages(3)] == ["1.0", "2.0", "3.0"]
    assert (path.place, path.title) == ("at +3.00 m", "+3.00 m")
    yaw = clip_path(clip, [TrajectoryEntry(yaw_deg=5.0)])
    assert (yaw.place, yaw.title) == ("on the new trajectory", "yaw +5.0 deg")


def test_displacement_is_the_distance_the_calibration_sees(clip: DriveClip) -> None:
    path = clip_path(clip, [TrajectoryEntry(shift_m=1.5), TrajectoryEntry(raise_m=2.0)])
    assert path.displacement_m() == pytest.approx([2.5] * NUM_FRAMES)
    middle = path_cameras(clip, "0", path)[4]
    assert distance_from_path_m(clip, middle) == pytest.approx(2.5, abs=0.05)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([TrajectoryEntry(shift_m=50.0)], "50 m from the recorded path, 0.0 m into the drive; expected at most 10 m"),
        ([TrajectoryEntry(shift_m=6.0), TrajectoryEntry(shift_m=5.0)], "11 m from the recorded path"),
        ([TrajectoryEntry(shift_m=8.0), TrajectoryEntry(raise_m=8.0)], "11.31 m from the recorded path"),
        ([TrajectoryEntry(raise_m=-11.0, over_m=(1.0, 3.0))], "11 m from the recorded path, 3.0 m into the drive"),
        ([TrajectoryEntry(yaw_deg=120.0), TrajectoryEntry(yaw_deg=70.0)], "190 degrees"),
        ([TrajectoryEntry(shift_m=1.0, over_m=(2.0, 7.5))], r"\[2.0, 7.5\]; expected a stretch of the (7|6.9) m"),
        ([TrajectoryEntry(poses="nowhere.txt")], "nowhere.txt: no such file"),
    ],
)
def test_what_no_data_can_support_is_refused(clip: DriveClip, entries: list[TrajectoryEntry], message: str) -> None:
    with pytest.raises(InputError, match=message):
        clip_path(clip, entries)


def test_sums_within_the_limit_are_accepted(clip: DriveClip) -> None:
    assert clip_path(clip, [TrajectoryEntry(shift_m=50.0), TrajectoryEntry(shift_m=-40.0)]).shift_m == 10.0


def test_poses_far_from_the_drive_are_refused(clip: DriveClip, tmp_path: Path) -> None:
    far = np.stack([ego_pose(t) for t in range(NUM_FRAMES)])
    (tmp_path / "far.json").write_text(json.dumps(far.tolist()))
    assert clip_path(clip, [TrajectoryEntry(poses=str(tmp_path / "far.json"))]).displacement_m().max() < 1e-3
    with pytest.raises(InputError, match="from the recorded path"):  # the drive's world is not its start
        clip_path(clip, [TrajectoryEntry(poses=str(tmp_path / "far.json"), poses_world="start")])


def test_unknown_camera_is_refused(clip: DriveClip) -> None:
    with pytest.raises(InputError, match="no camera '7'; expected one of 0, 1"):
        path_cameras(clip, "7", clip_path(clip, [TrajectoryEntry(shift_m=1.0)]))
