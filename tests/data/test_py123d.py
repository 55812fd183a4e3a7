"""py123d logs as drives. What needs py123d runs where it is installed, or with the Python of its own environment in
`FAITHFUSION_PY123D_PYTHON`; the rest runs everywhere."""

import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import made_up_py123d as made_up
import numpy as np
import pytest
from PIL import Image

from faithfusion.data.drive_map import read_drive_map
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.lens import distort_pixels
from faithfusion.data.lidar import load_points_world, project_points
from faithfusion.data.py123d.bridge_cameras import make_camera, rectifying_map, resample
from faithfusion.data.py123d.map_lines import read_log_map
from faithfusion.data.py123d.prepare_log import prepare_log
from faithfusion.data.py123d.py123d_config import Py123dConfig
from faithfusion.types import DriveClip
from faithfusion.utils.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[2]
WRITTEN = (0, 1, 2, 4)  # iterations with images of both pinhole cameras


def _python_with_py123d() -> str | None:
    if importlib.util.find_spec("py123d"):
        return sys.executable
    return os.environ.get("FAITHFUSION_PY123D_PYTHON")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    python = _python_with_py123d()
    if python is None:
        pytest.skip("needs py123d, or the Python of an environment that has it in FAITHFUSION_PY123D_PYTHON")
    folder = tmp_path_factory.mktemp("py123d")
    subprocess.run([python, made_up.__file__, str(folder)], check=True, capture_output=True)
    return folder / "logs" / "toy_test" / "log"


def prepare(log: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        _python_with_py123d(),
        str(REPOSITORY / "tools" / "prepare_py123d.py"),
        "--log",
        str(log),
        "--out",
        str(out),
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run([*command, *options], capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def truth(log: Path) -> dict[str, np.ndarray]:
    return dict(np.load(log.parents[2] / "truth.npz"))


@pytest.fixture(scope="module")
def clip(log: Path, tmp_path_factory: pytest.TempPathFactory) -> DriveClip:
    out = tmp_path_factory.mktemp("prepared") / "drive"
    result = prepare(log, out)
    assert result.returncode == 0, result.stderr
    assert "1 iterations without an image of every camera were left out" in result.stderr
    return read_drive(out)


def world_from_ego(time_s: float) -> np.ndarray:
    return made_up.world_from_imu(time_s) @ made_up.IMU_FROM_REAR


def in_clip(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.inv(world_from_ego(0.0)) @ matrix


def test_frames_are_the_iterations_with_all_images(clip: DriveClip) -> None:
    assert (clip.num_frames, clip.camera_names, clip.frame_rate_hz) == (len(WRITTEN), ("0", "1"), 10.0)
    assert json.loads((clip.root / "py123d.json").read_text())["iterations"] == list(WRITTEN)


def test_ego_and_camera_poses_are_those_of_their_moments(clip: DriveClip) -> None:
    for t, iteration in enumerate(WRITTEN):
        now = 0.1 * iteration
        np.testing.assert_allclose(clip.world_from_ego[t], in_clip(world_from_ego(now)), atol=1e-4)
        for name, camera, delay in (("0", "pcam_f0", 0.0), ("1", "pcam_l0", made_up.CAMERA_DELAY_S)):
            expected = in_clip(made_up.world_from_imu(now + delay) @ made_up.IMU_FROM_CAMERA[camera])
            np.testing.assert_allclose(clip.frame(t, name).camera.world_from_camera, expected, atol=1e-4)
    assert not (clip.root / "ego_pose" / "000_0.txt").exists() and (clip.root / "ego_pose" / "000_1.txt").exists()


def test_pixels_are_the_logs_own_bytes(clip: DriveClip, truth: dict[str, np.ndarray]) -> None:
    for t, iteration in enumerate(WRITTEN):
        for name, camera in (("0", "pcam_f0"), ("1", "pcam_l0")):
            assert (clip.root / "images" / f"{t:03d}_{name}.jpg").read_bytes() == truth[
                f"{camera}_{iteration}"
            ].tobytes()


def test_calibration_and_lens(clip: DriveClip) -> None:
    distorted, undistorted = (np.loadtxt(clip.root / "intrinsics" / f"{name}.txt") for name in "01")
    np.testing.assert_allclose(distorted, [50.0, 51.0, 31.5, 24.25, *made_up.LENS])
    np.testing.assert_allclose(undistorted, [50.0, 51.0, 31.5, 24.25, 0, 0, 0, 0, 0])


def test_points_lie_in_the_ego_frame_with_their_lidars_as_origins(
    clip: DriveClip, truth: dict[str, np.ndarray]
) -> None:
    ego_from_imu = np.linalg.inv(made_up.IMU_FROM_REAR)
    for t, iteration in enumerate(WRITTEN):
        expected = np.c_[truth[f"points_{iteration}"], np.ones(200)] @ ego_from_imu.T
        rows = np.fromfile(clip.root / "lidar" / f"{t:03d}.bin", "<f4").reshape(-1, 14)
        np.testing.assert_allclose(rows[:, 3:6], expected[:, :3], atol=1e-4)
        np.testing.assert_allclose(rows[:, 11], truth[f"intensity_{iteration}"] / 255, atol=1e-6)
        for half, name in ((slice(0, 100), "lidar_top"), (slice(100, 200), "lidar_front")):
            place = (ego_from_imu @ made_up.IMU_FROM_LIDAR[name])[:3, 3]
            np.testing.assert_allclose(rows[half, :3], np.tile(place, (100, 1)), atol=1e-5)


def test_a_point_falls_where_py123ds_own_formula_says(clip: DriveClip, truth: dict[str, np.ndarray]) -> None:
    points = np.c_[truth["points_4"].astype(np.float64), np.ones(200)]
    world_from_camera = made_up.world_from_imu(0.4 + made_up.CAMERA_DELAY_S) @ made_up.IMU_FROM_CAMERA["pcam_l0"]
    seen = points @ (np.linalg.inv(world_from_camera) @ made_up.world_from_imu(0.4)).T
    expected = seen[:, :2] / seen[:, 2:3] * [50.0, 51.0] + [31.5, 24.25]
    uv, _, inside = project_points(load_points_world(clip, 3), clip.frame(3, "1").camera)
    assert int(inside.sum()) > 20
    np.testing.assert_allclose(uv.numpy()[inside], expected[inside], atol=0.05)


def test_boxes_of_what_moves_become_tracks(clip: DriveClip, truth: dict[str, np.ndarray]) -> None:
    car, walker = sorted(clip.tracks, key=lambda track: -float(track.size_m[0]))
    assert len(clip.tracks) == 2  # the cone stands for ever
    assert (car.class_name, walker.class_name) == ("Vehicle", "Pedestrian")
    assert car.time_indices.tolist() == [0, 1, 2, 3] and walker.time_indices.tolist() == [2, 3]
    np.testing.assert_allclose(car.size_m, [4.4, 1.8, 1.5], rtol=1e-6)
    for t, iteration in enumerate(WRITTEN):
        np.testing.assert_allclose(car.world_from_box[t], in_clip(truth[f"car_{iteration}"]), atol=1e-4)


def test_lines_of_the_map_near_the_path_are_kept(clip: DriveClip, truth: dict[str, np.ndarray]) -> None:
    drive_map = read_drive_map(clip.root)
    assert drive_map.source == "map of toy in py123d" and drive_map.offsets_m is None
    expected = {"road_line": "map_line", "road_edge": "map_edge", "crosswalk": "map_crossing"}
    assert sorted(line.kind for line in drive_map.lines) == sorted(expected)
    for line in drive_map.lines:
        np.testing.assert_allclose(line.points_m, truth[expected[line.kind]], atol=1e-3)


class _MadeUpMap:
    """What `read_log_map` asks of py123d's map: everything in a square around a point."""

    def __init__(self, has_z: bool = True) -> None:
        self.map_has_z, self.dataset, self.asked = has_z, "toy", []

    def get_map_objects_in_radius(self, point: tuple, radius: float, layers: list) -> dict:
        self.asked.append((point, radius, layers))
        line = SimpleNamespace(array=np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
        ring = SimpleNamespace(array=np.array([[0.0, 0, 1], [2, 0, 1], [2, 5, 1], [0, 0, 1]]))
        edge = SimpleNamespace(object_id=7, polyline_3d=line)
        painted = SimpleNamespace(object_id=7, polyline_3d=line, road_line_type=SimpleNamespace(name="SOLID_WHITE"))
        unpainted = SimpleNamespace(object_id=8, polyline_3d=line, road_line_type=SimpleNamespace(name="NONE"))
        crossing = SimpleNamespace(object_id=len(self.asked), outline_3d=ring)
        things = {"road_edge": [edge], "road_line": [painted, unpainted], "crosswalk": [crossing]}
        return {_Layer(name): objects for name, objects in things.items()}


class _Layer(str):
    """A layer of py123d, as far as it is asked."""

    def serialize(self) -> str:
        return str(self)


def _scene(api: object) -> SimpleNamespace:
    """Eleven poses, 5 m apart."""
    poses = [SimpleNamespace(x=5.0 * i, y=1.0, point_2d=(5.0 * i, 1.0)) for i in range(11)]
    return SimpleNamespace(
        get_map_api=lambda: api,
        get_ego_state_se3_at_iteration=lambda iteration: SimpleNamespace(rear_axle_se3=poses[iteration]),
    )


def test_a_map_is_asked_every_twenty_metres_and_nothing_is_kept_twice() -> None:
    api = _MadeUpMap()
    drive_map, remark = read_log_map(_scene(api), range(11))
    assert [point for point, _, _ in api.asked] == [(0.0, 1.0), (20.0, 1.0), (40.0, 1.0)]
    assert [line.kind for line in drive_map.lines] == ["road_edge", "road_line", "crosswalk", "crosswalk", "crosswalk"]
    np.testing.assert_array_equal(drive_map.lines[-1].points_m, [[0, 0, 1], [2, 0, 1], [2, 5, 1]])
    assert remark == "5 lines of the log's map"


def test_a_log_without_a_map_or_without_heights_says_so() -> None:
    assert read_log_map(_scene(None), [0]) == (None, "the log has no map")
    drive_map, remark = read_log_map(_scene(_MadeUpMap(has_z=False)), [0])
    assert drive_map is None and remark == "the log's map has no heights, so its lines are left out"


def test_a_fisheye_becomes_a_pinhole(log: Path, tmp_path: Path, truth: dict[str, np.ndarray]) -> None:
    out = tmp_path / "wide"
    result = prepare(log, out, "--cameras", "ftcam_f0", "--frames", "2", "--fov_deg", "80")
    assert result.returncode == 0, result.stderr
    clip = read_drive(out)
    camera = clip.frame(0, "0").camera
    focal = 0.5 * made_up.FISHEYE_WIDTH / np.tan(np.radians(40.0))
    assert float(camera.intrinsics[0, 0]) == pytest.approx(focal, rel=1e-5) and camera.width == made_up.FISHEYE_WIDTH
    recorded = np.asarray(Image.open(io.BytesIO(truth["ftcam_f0_0"].tobytes())), dtype=np.float64)
    written = np.asarray(Image.open(out / "images" / "000_0.jpg"), dtype=np.float64)
    for row, column in ((10, 12), (30, 40), (50, 70)):
        x = (column + 0.5 - 40.0) / focal
        y = (row + 0.5 - 30.0) / focal
        theta, phi = np.arctan(np.hypot(x, y)), np.arctan2(y, x)
        radius = 40.0 * theta - 2.0 * theta**3
        u, v = 39.0 + radius * np.cos(phi) - 0.5, 31.0 + radius * np.sin(phi) - 0.5
        i, j, a, b = int(v), int(u), v - int(v), u - int(u)
        patch = recorded[i : i + 2, j : j + 2]
        expected = np.einsum("i,j,ijc->c", [1 - a, a], [1 - b, b], patch)
        np.testing.assert_allclose(written[row, column], expected, atol=12)  # JPEG twice


def test_wrong_options_are_refused_in_one_line(log: Path, clip: DriveClip, tmp_path: Path) -> None:
    for options, message in (
        (("--cameras", "pcam_b0"), "no camera 'pcam_b0'; expected one or more of"),
        (("--frames", "9"), "iterations 0 to 8; expected within 0 to 4"),
        (("--start", "3", "--frames", "1"), "no iteration with an image of every camera"),
    ):
        result = prepare(log, tmp_path / "drive", *options)
        assert result.returncode == 2 and message in result.stderr, result.stderr
        assert len(result.stderr.strip().splitlines()) == 1 and not (tmp_path / "drive").exists()
    assert prepare(log, clip.root).returncode == 0  # already there
    assert "another log or other options" in prepare(log, clip.root, "--frames", "2").stderr


def test_a_folder_that_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sync.arrow"):
        prepare_log(tmp_path, tmp_path / "drive", Py123dConfig())
    if not importlib.util.find_spec("py123d"):
        (tmp_path / "sync.arrow").touch()
        with pytest.raises(InputError, match="py123d's own environment"):
            prepare_log(tmp_path, tmp_path / "drive", Py123dConfig())
    assert not (tmp_path / "drive").exists()


@pytest.mark.parametrize("options", [{"start": -1}, {"frames": 0}, {"fov_deg": 0.0}, {"fov_deg": 170.0}])
def test_bad_options_are_refused(options: dict) -> None:
    with pytest.raises(InputError):
        Py123dConfig(**options)


@pytest.mark.parametrize(
    ("module", "besides"), [("data.py123d.prepare_log", ["yaml", "jsonargparse"]), ("cli.prepare_py123d", [])]
)
def test_the_bridge_needs_neither_torch_nor_our_other_dependencies(module: str, besides: list[str]) -> None:
    """The command alone needs jsonargparse (docs/data.md), which brings PyYAML."""
    heavy = ["torch", "scipy", "matplotlib", "jaxtyping", "einops", "rich", "py123d", *besides]
    code = f"import sys, faithfusion.{module}; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert result.stdout.strip() == "[]"


def test_resampling_is_bilinear_and_black_outside() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (7, 9, 3), dtype=np.uint8)
    uv = rng.uniform([-2, -2], [11, 9], (200, 2))
    slow = np.zeros((200, 3))
    for n, (u, v) in enumerate(uv):
        if 0 < u < 9 and 0 < v < 7:
            x, y = min(max(u - 0.5, 0), 8), min(max(v - 0.5, 0), 6)
            for j in (int(x), int(x) + 1):
                for i in (int(y), int(y) + 1):
                    slow[n] += max(0, 1 - abs(x - j)) * max(0, 1 - abs(y - i)) * image[min(i, 6), min(j, 8)]
    np.testing.assert_allclose(resample(image, uv), slow, atol=0.51)


def _camera(**changes: object) -> SimpleNamespace:
    """What `make_camera` asks of a py123d camera."""
    values = {
        "camera_name": "FRONT",
        "camera_id": None,
        "camera_model": SimpleNamespace(name="PINHOLE"),
        "intrinsics": SimpleNamespace(fx=50.0, fy=51.0, cx=31.5, cy=24.25, skew=0.0),
        "distortion": None,
        "is_undistorted": False,
        "camera_to_imu_se3": SimpleNamespace(transformation_matrix=np.eye(4)),
        "width": 64,
        "height": 48,
    }
    return SimpleNamespace(**{**values, **changes})


def test_a_skewed_or_missing_matrix_is_refused() -> None:
    assert make_camera(_camera(), "0", np.eye(4), 90.0).rig.pinhole == (50.0, 51.0, 31.5, 24.25, 0, 0, 0, 0, 0)
    for intrinsics in (None, SimpleNamespace(fx=50.0, fy=51.0, cx=31.5, cy=24.25, skew=0.3)):
        with pytest.raises(InputError, match="camera FRONT: (no intrinsics|skew 0.3)"):
            make_camera(_camera(intrinsics=intrinsics), "0", np.eye(4), 90.0)


def test_the_rectifying_map_is_the_cameras_own_projection_of_pinhole_rays() -> None:
    matrix = np.array([[50.0, 0, 31.5], [0, 51.0, 24.25], [0, 0, 1]])

    def project(rays: np.ndarray) -> tuple[np.ndarray]:
        return (
            distort_pixels(rays[:, :2] / rays[:, 2:] * [50.0, 51.0] + matrix[:2, 2], matrix, np.array(made_up.LENS)),
        )

    uv = rectifying_map(_camera(project_to_image=project), (50.0, 51.0, 31.5, 24.25))
    expected = distort_pixels(np.array([12.5, 40.5]), matrix, np.array(made_up.LENS))
    np.testing.assert_allclose(uv[40, 12], expected, atol=1e-9)
