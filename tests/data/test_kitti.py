"""KITTI raw: a prepared drive reads back what the raw files say."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import made_up_kitti as truth
import numpy as np
import pytest
import torch
from made_up_kitti import NUM_FRAMES, MadeUp, write_kitti, write_tracklet
from PIL import Image
from run_command import run_command

from faithfusion.cli import prepare_kitti as prepare_kitti_tool
from faithfusion.data.drive_reader import clip_from_dataset_world, read_drive
from faithfusion.data.images import load_dynamic_mask, load_image
from faithfusion.data.kitti.kitti_config import KittiConfig
from faithfusion.data.kitti.oxts import EARTH_RADIUS_M, read_times_s, world_from_imu
from faithfusion.data.kitti.prepare_raw import prepare_kitti
from faithfusion.data.lidar import load_points_world, project_points
from faithfusion.types import DriveClip
from faithfusion.utils.errors import InputError


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    return write_kitti(tmp_path_factory.mktemp("kitti"))


@pytest.fixture(scope="module")
def drive(raw: MadeUp, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "drive"
    prepare_kitti(raw.source, out, KittiConfig())
    return out


@pytest.fixture(scope="module")
def clip(drive: Path) -> DriveClip:
    return read_drive(drive)


def velo_from_imu() -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = truth.IMU_TO_VELO_R, truth.IMU_TO_VELO_T
    return pose


def test_pixels_are_the_files_own_bytes(raw: MadeUp, drive: Path) -> None:
    for name, camera in (("0", 2), ("1", 3)):
        for t in range(NUM_FRAMES):
            assert (drive / "images" / f"{t:03d}_{name}.png").read_bytes() == raw.images[camera, t]


def test_points_are_read_back_in_the_lidar_frame(raw: MadeUp, clip: DriveClip) -> None:
    assert not any("lidar" in part for part in clip.missing)
    for t in range(NUM_FRAMES):
        pose = clip.world_from_ego[t]
        points = (load_points_world(clip, t) - pose[:3, 3]) @ pose[:3, :3]
        np.testing.assert_allclose(points.numpy(), raw.scans[t][:, :3], atol=1e-4)
        rows = np.fromfile(clip.root / "lidar" / f"{t:03d}.bin", "<f4").reshape(-1, 14)
        assert np.array_equal(rows[:, 3:6], raw.scans[t][:, :3]) and np.array_equal(rows[:, 11], raw.scans[t][:, 3])
        assert not rows[:, :3].any()


@pytest.mark.parametrize(("name", "camera"), [("0", 2), ("1", 3)])
def test_a_point_falls_where_p_rect_says(raw: MadeUp, clip: DriveClip, name: str, camera: int) -> None:
    rectified = np.eye(4)
    rectified[:3, :3] = truth.rectification()
    unrectified = np.eye(4)
    unrectified[:3, :3] = truth.VELO_TO_CAM_R / np.linalg.norm(truth.VELO_TO_CAM_R, axis=1, keepdims=True)
    unrectified[:3, 3] = truth.VELO_TO_CAM_T
    for t in (0, NUM_FRAMES - 1):
        points = np.c_[raw.scans[t][:, :3].astype(np.float64), np.ones(len(raw.scans[t]))]
        homogeneous = points @ (truth.projection(camera) @ rectified @ unrectified).T
        expected = homogeneous[:, :2] / homogeneous[:, 2:] + 0.5  # KITTI counts from pixel centres
        uv, depth, inside = project_points(load_points_world(clip, t), clip.frame(t, name).camera)
        assert int(inside.sum()) > 50
        np.testing.assert_allclose(depth.numpy(), homogeneous[:, 2], atol=2e-3)
        np.testing.assert_allclose(uv.numpy()[inside], expected[inside], atol=0.02)


def test_poses_follow_the_formula_and_the_lidar(raw: MadeUp, clip: DriveClip) -> None:
    imu = [world_from_imu(packet, raw.packets[0]) for packet in raw.packets]
    for t in range(NUM_FRAMES):
        velo = [pose @ np.linalg.inv(velo_from_imu()) for pose in (imu[0], imu[t])]
        np.testing.assert_allclose(clip.world_from_ego[t].numpy(), np.linalg.inv(velo[0]) @ velo[1], atol=1e-4)
    assert clip.frame_rate_hz == pytest.approx(1 / 0.1036, rel=1e-3)


def test_world_is_metric_east_north_up() -> None:
    """Against the tangent plane of a sphere: arcs of the meridian and of the circle of latitude."""
    origin = np.array([49.0, 8.4, 100.0, 0.0, 0.0, 0.0])
    there = np.array([49.002, 8.403, 103.0, 0.1, -0.2, 2.0])
    pose = world_from_imu(there, origin)
    north = np.radians(0.002) * EARTH_RADIUS_M
    east = np.radians(0.003) * EARTH_RADIUS_M * np.cos(np.radians(49.0))
    np.testing.assert_allclose(pose[:3, 3], [east, north, 3.0], rtol=2e-4)
    # yaw 0 faces east, positive pitch lowers the nose, positive roll lowers the right side
    np.testing.assert_allclose(pose[:3, 0], [np.cos(0.2) * np.cos(2.0), np.cos(0.2) * np.sin(2.0), np.sin(0.2)])
    assert pose[2, 1] > 0
    np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-12)


def test_tracklets_become_boxes_with_their_origin_at_the_centre(raw: MadeUp, clip: DriveClip) -> None:
    (track,) = clip.tracks
    h, w, length = raw.box_size
    x, y, bottom, yaw = raw.box
    assert track.class_name == "Vehicle" and track.time_indices.tolist() == [1, 2, 3] and track.is_moving
    np.testing.assert_allclose(track.size_m.numpy(), [length, w, h], rtol=1e-6)
    in_velo = torch.linalg.inv(clip.world_from_ego[1]) @ track.world_from_box[0]
    np.testing.assert_allclose(in_velo[:3, 3].numpy(), [x, y, bottom + h / 2], atol=1e-4)
    np.testing.assert_allclose(in_velo[:3, 0].numpy(), [np.cos(yaw), np.sin(yaw), 0.0], atol=1e-4)
    masks = [load_dynamic_mask(clip.frame(t, "0")) for t in range(NUM_FRAMES)]
    assert not masks[0].any() and all(mask.any() for mask in masks[1:])
    centre, _, inside = project_points(track.world_from_box[0][None, :3, 3], clip.frame(1, "0").camera)
    assert inside.all() and masks[1][int(centre[0, 1]), int(centre[0, 0])]


def test_a_window_of_another_camera_made_smaller(raw: MadeUp, tmp_path: Path) -> None:
    out = tmp_path / "part"
    prepare_kitti(raw.source, out, KittiConfig(cameras=(1,), start=1, frames=2, scale=0.5))
    part = read_drive(out)
    camera = part.frame(0, "0").camera
    assert (part.num_frames, camera.width, camera.height) == (2, truth.WIDTH // 2, truth.HEIGHT // 2)
    expected = [truth.K[0, 0] / 2, truth.K[1, 1] / 2, (truth.K[0, 2] + 0.5) / 2, (truth.K[1, 2] + 0.5) / 2]
    found = camera.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    full = np.asarray(Image.open(io.BytesIO(raw.images[1, 1])), dtype=np.float64)
    mean = full.reshape(truth.HEIGHT // 2, 2, truth.WIDTH // 2, 2).mean((1, 3)) / 255.0
    image = load_image(part.frame(0, "0")).numpy()
    assert np.corrcoef(image.mean(-1).ravel(), mean.ravel())[0, 1] > 0.85  # noise
    assert part.tracks[0].time_indices.tolist() == [0, 1]
    whole = read_drive(tmp_path / "part")
    assert torch.allclose(whole.world_from_ego[0], torch.eye(4), atol=1e-6)


def test_the_world_does_not_depend_on_the_window(raw: MadeUp, drive: Path, tmp_path: Path) -> None:
    prepare_kitti(raw.source, tmp_path / "part", KittiConfig(start=2))
    np.testing.assert_allclose(
        clip_from_dataset_world(tmp_path / "part"), np.linalg.inv(np.loadtxt(drive / "ego_pose" / "002.txt")), atol=1e-9
    )


def test_missing_and_broken_scans_are_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write_kitti(tmp_path / "raw", missing_scans=(1,))
    path = raw.source / "velodyne_points" / "data" / f"{3:010d}.bin"
    path.write_bytes(path.read_bytes()[:-7])
    prepare_kitti(raw.source, tmp_path / "drive", KittiConfig())
    assert "no whole LiDAR scan at 2 frames: 1, 3" in capsys.readouterr().err
    clip = read_drive(tmp_path / "drive")
    assert [path is not None for path in clip.lidar_paths] == [True, False, True, False]
    assert "lidar (2 of 4)" in clip.missing


def test_without_tracklets_there_are_no_boxes(raw: MadeUp, tmp_path: Path) -> None:
    root = Path(shutil.copytree(raw.source.parent, tmp_path / truth.DATE))
    (root / truth.DRIVE / "tracklet_labels.xml").unlink()
    prepare_kitti(root / truth.DRIVE, tmp_path / "drive", KittiConfig())
    assert {"boxes", "dynamic masks"} <= set(read_drive(tmp_path / "drive").missing)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("Van", "Vehicle"), ("Person (sitting)", "Pedestrian"), ("Cyclist", "Cyclist"), ("Misc", "Misc")],
)
def test_class_names(kind: str, expected: str, raw: MadeUp, tmp_path: Path) -> None:
    root = Path(shutil.copytree(raw.source.parent, tmp_path / truth.DATE))
    write_tracklet(root / truth.DRIVE, kind, 0, [raw.box], raw.box_size)
    prepare_kitti(root / truth.DRIVE, tmp_path / "drive", KittiConfig(masks=False))
    assert [track.class_name for track in read_drive(tmp_path / "drive").tracks] == [expected]


def test_the_same_again_is_left_and_another_refused(raw: MadeUp, drive: Path) -> None:
    before = (drive / "kitti.json").stat().st_mtime_ns
    prepare_kitti(raw.source, drive, KittiConfig())
    assert (drive / "kitti.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="another drive or other options"):
        prepare_kitti(raw.source, drive, KittiConfig(cameras=(2,)))
    with pytest.raises(InputError, match="not a prepared KITTI drive"):
        prepare_kitti(raw.source, raw.source, KittiConfig())


def _edit(path: str, change: Callable[[str], str]) -> Callable[[Path], object]:
    return lambda root: (root / path).write_text(change((root / path).read_text()))


PACKET = f"{truth.DRIVE}/oxts/data/0000000002.txt"
IMAGE = f"{truth.DRIVE}/image_03/data/0000000001.png"
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no calibration": (lambda r: (r / "calib_velo_to_cam.txt").unlink(), "calib_velo_to_cam.txt: no such file"),
    "no camera": (_edit("calib_cam_to_cam.txt", lambda t: t.replace("P_rect_03", "X")), "P_rect_03: no such key"),
    "short matrix": (_edit("calib_imu_to_velo.txt", lambda t: t.replace("T: ", "T: 1 ")), "T: 4 numbers"),
    "no rotation": (_edit("calib_imu_to_velo.txt", lambda t: t.replace("R: 1.0", "R: 2.0")), "not rigid"),
    "no packet": (lambda r: (r / PACKET).unlink(), "0000000002.txt: no such file"),
    "short packet": (_edit(PACKET, lambda t: " ".join(t.split()[:7])), "7 numbers; expected 30"),
    "no image": (lambda r: (r / IMAGE).unlink(), "0000000001.png: no such file"),
    "cut image": (lambda r: (r / IMAGE).write_bytes((r / IMAGE).read_bytes()[:900]), "0000000001.png: cut off"),
    "other image size": (lambda r: Image.new("RGB", (9, 9)).save(r / IMAGE), "size 9x9; expected 124x38"),
    "no images": (lambda r: shutil.rmtree(r / truth.DRIVE / "image_02"), "no images; expected a drive of KITTI raw"),
    "no xml": (_edit(f"{truth.DRIVE}/tracklet_labels.xml", lambda t: t[:300]), "tracklet_labels.xml: cannot be read"),
    "no number": (
        _edit(f"{truth.DRIVE}/tracklet_labels.xml", lambda t: t.replace("<h>1.5", "<h>x")),
        "tracklet 0: h = 'x'",
    ),
    "time runs back": (
        _edit(f"{truth.DRIVE}/oxts/timestamps.txt", lambda t: "\n".join(reversed(t.split("\n")))),
        "line 2 is not later",
    ),
    "no time": (_edit(f"{truth.DRIVE}/oxts/timestamps.txt", lambda t: "soon\n" + t), "line 'soon'"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_refused_in_one_line_and_nothing_is_written(case: str, raw: MadeUp, tmp_path: Path) -> None:
    root = Path(shutil.copytree(raw.source.parent, tmp_path / truth.DATE))
    damage, message = DAMAGE[case]
    damage(root)
    with pytest.raises(InputError, match=message) as caught:
        prepare_kitti(root / truth.DRIVE, tmp_path / "drive", KittiConfig())
    assert "\n" not in str(caught.value) and "; expected " in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [truth.DATE]


@pytest.mark.parametrize(
    "options", [{"cameras": (4,)}, {"cameras": ()}, {"start": -1}, {"frames": 0}, {"scale": 0.0}, {"scale": 2.0}]
)
def test_bad_options_are_refused(options: dict) -> None:
    with pytest.raises(InputError):
        KittiConfig(**options)


def test_frames_beyond_the_end_are_refused(raw: MadeUp, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="frames 2 to 6; expected frames within 0 to 3"):
        prepare_kitti(raw.source, tmp_path / "drive", KittiConfig(start=2, frames=5))


def test_times_pass_midnight_and_keep_nanoseconds(tmp_path: Path) -> None:
    path = tmp_path / "timestamps.txt"
    path.write_text("2011-09-26 23:59:59.964389445\n2011-09-27 00:00:00.067989445\n")
    np.testing.assert_allclose(read_times_s(path), [0.0, 0.1036], atol=1e-6)
    assert read_times_s(tmp_path / "none.txt") is None


def test_the_command_writes_a_drive(raw: MadeUp, tmp_path: Path) -> None:
    out = tmp_path / "drive"
    options = ["--drive", raw.source, "--out", out, "--cameras", "2", "--frames"]
    result = run_command(prepare_kitti_tool.main, *options, "2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads((out / "layout.json").read_text())["layout"] == "waymo"
    assert read_drive(out).num_frames == 2
    refused = run_command(prepare_kitti_tool.main, *options, "99", cwd=tmp_path)
    assert refused.returncode == 2 and len(refused.stderr.strip().splitlines()) == 1
