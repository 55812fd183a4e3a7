"""Waymo v2 parquet to a drive: exact geometry, untouched pictures, a rendered scene."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("pyarrow")
import made_up_waymo as truth
import pyarrow.parquet as pq
from made_up_waymo import DRIVING, NUM_FRAMES, PARKED, PINHOLES, SEGMENT, SKY, write_segment

from faithfusion.data.calibration_text import read_intrinsics
from faithfusion.data.drive_reader import clip_from_dataset_world, read_drive
from faithfusion.data.layouts import OPENCV2DATASET
from faithfusion.data.lens import make_lens_map, remap
from faithfusion.data.waymo.prepare_segment import prepare_segment
from faithfusion.data.waymo.range_image import Beams, decode
from faithfusion.data.waymo.waymo_config import WaymoConfig
from faithfusion.fit.fit import fit_scene
from faithfusion.fit.fit_config import FitConfig
from faithfusion.render.render_view import render_view
from faithfusion.scene.scene_config import DensifyConfig, InitialiseConfig
from faithfusion.types import DriveClip
from faithfusion.utils.image_math import psnr_db

CONFIG = WaymoConfig(cameras=(0, 1, 3))
SECONDS = [0.1 * t for t in range(NUM_FRAMES)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_segment(tmp_path_factory.mktemp("waymo") / "training")


@pytest.fixture(scope="module")
def clip(data: Path) -> DriveClip:
    prepare_segment(data, data.parent / "drive", CONFIG)
    return read_drive(data.parent / "drive")


def _rows(clip: DriveClip, t: int, laser: int) -> np.ndarray:
    rows = np.fromfile(clip.root / f"lidar/{t:03d}.bin", "<f4").reshape(-1, 14)
    return rows[rows[:, 13] == laser].astype(np.float64)


def _local(points_vehicle: np.ndarray, t: int) -> np.ndarray:
    pose = np.linalg.inv(truth.world_from_local()) @ truth.world_from_vehicle(SECONDS[t])
    return points_vehicle @ pose[:3, :3].T + pose[:3, 3]


def _surface_error_m(points_local: np.ndarray, surface: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Distance of each point from the surface it was cast on, boxes at each point's own time."""
    error = np.abs(
        np.select(
            [surface == truth.GROUND, surface == truth.LEFT_WALL, surface == truth.END_WALL],
            [points_local[:, 2], points_local[:, 1] - truth.LEFT_WALL_Y, points_local[:, 0] - truth.END_WALL_X],
            np.nan,
        )
    )
    for name in (PARKED, DRIVING):
        for time in np.unique(seconds[surface == name]):
            now, box = (surface == name) & (seconds == time), truth.local_from_box(name, time)
            inside = np.abs((points_local[now] - box[:3, 3]) @ box[:3, :3]) - truth.BOX_SIZE / 2
            error[now] = np.abs(inside.max(-1))
    return error


@pytest.mark.parametrize("t", range(NUM_FRAMES))
def test_points_of_the_turning_lidar_lie_on_the_street(clip: DriveClip, t: int) -> None:
    distance, surface, _ = truth.top_scan(SECONDS[t])
    row, column = np.nonzero(distance > 0)
    seconds = truth.column_seconds(SECONDS[t])[column]
    rows = _rows(clip, t, 0)
    assert len(rows) == len(row) > 8000
    assert set(np.unique(surface[row, column])) == {1, 2, 3, 4, 5}
    error = _surface_error_m(_local(rows[:, 3:6], t), surface[row, column], seconds)
    assert error.max() < 2e-4  # float32: pixel poses 250 m from the world's origin
    np.testing.assert_allclose(rows[:, 11], 0.01 * row, atol=1e-6)  # intensity
    np.testing.assert_allclose(rows[:, 12], 0.001 * column, atol=1e-6)  # elongation
    by_column = [truth.world_from_vehicle(s) @ truth.top_calibration()[0] for s in truth.column_seconds(SECONDS[t])]
    starts = np.stack([pose[:3, 3] for pose in by_column])[column]
    from_world = np.linalg.inv(truth.world_from_vehicle(SECONDS[t]))
    np.testing.assert_allclose(rows[:, :3], starts @ from_world[:3, :3].T + from_world[:3, 3], atol=1e-4)


def test_without_pixel_poses_the_points_would_miss_the_street() -> None:
    distance, surface, poses = truth.top_scan(0.0)
    extrinsic, inclinations = truth.top_calibration()
    image = np.stack([distance, distance, distance], -1)
    row, column = np.nonzero(distance > 0)
    beams = Beams(extrinsic, inclinations[0], inclinations[-1], inclinations)
    for moved, least, most in ((None, 0.3, 2.0), (poses, 0.0, 1e-9)):
        points = decode(image, beams, moved, truth.world_from_vehicle(0.0)).points
        error = _surface_error_m(_local(points, 0), surface[row, column], truth.column_seconds(0.0)[column])
        assert least <= error.max() < most


@pytest.mark.parametrize("t", range(NUM_FRAMES))
def test_points_of_the_side_lidar_lie_on_the_street(clip: DriveClip, t: int) -> None:
    distance, surface = truth.side_scan(SECONDS[t])
    points, seen = _local(_rows(clip, t, 2)[:, 3:6], t), surface[distance > 0]
    assert len(points) == len(seen) > 100
    assert _surface_error_m(points, seen, np.full(len(seen), SECONDS[t])).max() < 1e-5


def test_poses_are_those_of_the_frames_and_the_images(clip: DriveClip) -> None:
    start = np.linalg.inv(truth.world_from_vehicle(0.0))
    assert (clip.num_frames, clip.camera_names, clip.layout) == (NUM_FRAMES, ("0", "1", "3"), "waymo")
    for t, seconds in enumerate(SECONDS):
        np.testing.assert_allclose(clip.world_from_ego[t], start @ truth.world_from_vehicle(seconds), atol=1e-5)
        for camera, (_, later) in truth.CAMERAS.items():
            expected = start @ truth.world_from_vehicle(seconds + later) @ truth.vehicle_from_camera(camera)
            found = clip.frame(t, str(camera)).camera.world_from_camera
            np.testing.assert_allclose(found, expected @ OPENCV2DATASET, atol=1e-5)


def test_calibration_and_pictures_are_untouched(clip: DriveClip, data: Path) -> None:
    table = pq.read_table(data / f"camera_image/{SEGMENT}.parquet").to_pylist()
    for row in table:
        t = (row["key.frame_timestamp_micros"] - truth.FIRST_US) // truth.STEP_US
        path = clip.frame(t, str(row["key.camera_name"] - 1)).image_path
        assert path.read_bytes() == row["[CameraImageComponent].image"] and path.suffix == ".jpg"
    for camera, pinhole in PINHOLES.items():
        matrix, distortion = read_intrinsics(clip.root / f"intrinsics/{camera}.txt")
        assert (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2], *distortion) == pinhole
        np.testing.assert_allclose(
            np.loadtxt(clip.root / f"extrinsics/{camera}.txt"), truth.vehicle_from_camera(camera)
        )


def test_boxes_are_tracks_in_the_world_and_signs_are_none(clip: DriveClip) -> None:
    moving, parked = clip.tracks
    assert moving.top_points.tolist() == [9, 10] and parked.top_points.tolist() == [20, 21]
    assert (moving.is_moving, parked.is_moving, moving.class_name) == (True, False, "Vehicle")
    from_world = clip_from_dataset_world(clip.root) @ truth.world_from_local()
    for track, name in ((moving, DRIVING), (parked, PARKED)):
        torch.testing.assert_close(track.size_m, torch.from_numpy(truth.BOX_SIZE).float())
        for t, seconds in enumerate(SECONDS):
            expected = from_world @ truth.local_from_box(name, seconds)
            np.testing.assert_allclose(track.world_from_box[t, :3, 3], expected[:3, 3], atol=1e-4)
            np.testing.assert_allclose(track.world_from_box[t, :2, :2], expected[:2, :2], atol=2e-3)  # boxes stand up


def _overlap(mask: np.ndarray, true: np.ndarray) -> float:
    return (mask & true).sum() / (mask | true).sum()


def test_masks_cover_the_sky_and_what_moves(clip: DriveClip, data: Path, tmp_path: Path) -> None:
    _, surface = truth.picture(0, 0.0, truth.ideal_rays(0))
    driving = truth.picture(0, 0.0, truth.ideal_rays(0, 1))[1] == DRIVING  # at the middle of every pixel
    sky = np.asarray(Image.open(clip.root / "sky_masks/000_0.png").convert("L")) > 0
    np.testing.assert_array_equal(sky, surface == SKY)
    assert clip.missing == ("sky masks (5 of 6)", "ego masks")
    mask = np.asarray(Image.open(clip.root / "dynamic_masks/vehicle/000_0.png").convert("L")) > 0
    assert 0.9 < _overlap(mask, driving) < 0.94  # the box was nearer when the frame began than in its picture
    assert not np.asarray(Image.open(clip.root / "dynamic_masks/human/000_0.png")).any()
    prepare_segment(data, tmp_path / "synced", WaymoConfig(cameras=(0,), synced_boxes=True, lidar="none"))
    synced = np.asarray(Image.open(tmp_path / "synced/dynamic_masks/all/000_0.png").convert("L")) > 0
    assert _overlap(synced, driving) > 0.94  # labels stand upright in the tilted vehicle: a row of pixels
    assert read_drive(tmp_path / "synced").lidar_paths == (None, None)


def test_returns_lasers_frames_and_poses_can_be_chosen(data: Path, clip: DriveClip, tmp_path: Path) -> None:
    config = WaymoConfig(
        cameras=(0,), start=1, frames=1, lidar="top", second_return=True, image_poses=False, masks=False
    )
    prepare_segment(data, tmp_path / "chosen", config, segment=SEGMENT)
    chosen = read_drive(tmp_path / "chosen")
    rows = np.fromfile(chosen.lidar_paths[0], "<f4").reshape(-1, 14)
    _, surface, _ = truth.top_scan(SECONDS[1])
    behind = (truth.top_scan(SECONDS[1], boxes=False)[0] > 0) & np.isin(surface, [PARKED, DRIVING])
    assert len(rows) == len(_rows(clip, 1, 0)) + behind.sum() and set(rows[:, 13]) == {0.0}
    assert chosen.num_frames == 1 and "dynamic masks" in chosen.missing
    expected = truth.vehicle_from_camera(0) @ OPENCV2DATASET
    np.testing.assert_allclose(chosen.frames[0].camera.world_from_camera, expected, atol=1e-6)


def test_two_frames_become_a_rendered_scene(clip: DriveClip) -> None:
    config = FitConfig(
        steps=100,
        half_resolution_steps=30,
        initialise=InitialiseConfig(max_gaussians=3000, sky_height=16, num_frames=6),
        densify=DensifyConfig(start_step=30, stop_step=80, every_steps=25, max_gaussians=3500),
    )
    scene, _ = fit_scene(clip, clip.frames, config)
    for frame in clip.frames:
        recorded = torch.from_numpy(np.asarray(Image.open(frame.image_path)).astype(np.float32) / 255.0)
        camera = int(frame.camera_name)
        matrix = np.array([[PINHOLES[camera][0], 0, PINHOLES[camera][2]], [0, PINHOLES[camera][1], PINHOLES[camera][3]],
                           [0, 0, 1.0]])  # fmt: skip
        lens = make_lens_map(matrix, np.array(PINHOLES[camera][4:]), *recorded.shape[1::-1])
        image = remap(recorded, lens.grid, mode="bilinear")
        with torch.no_grad():
            rendered = render_view(scene, frame.camera, frame.time_index).color.clamp(0, 1)
        assert psnr_db(rendered, image, lens.seen) > 30.0, f"camera {camera}, frame {frame.time_index}"
        flat = psnr_db(image.mean((0, 1)).expand_as(image), image, lens.seen)
        assert flat < 20.0  # what one colour would score
