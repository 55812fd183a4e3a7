"""Masks of moving boxes: the same as sampling the boxes densely, and only what moves."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import torch
from PIL import Image
from tiny_clip import pose_at

from faithfusion.data.box_masks import Lens, box_pixels, pinhole_rays, read_lens, write_dynamic_masks
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.drive_writer import BoxTrack, RigCamera, make_folders, write_frame, write_rig, write_tracks
from faithfusion.data.images import load_dynamic_mask
from faithfusion.data.instances import leaves_its_place
from faithfusion.data.lens import distort_pixels
from faithfusion.types import Camera

WIDTH, HEIGHT = 80, 60
PINHOLE = (50.0, 52.0, 41.0, 29.0, -0.15, 0.02, 0.01, -0.01, 0.0)
RIG = RigCamera("0", PINHOLE, pose_at(1.0, 0.0, 1.5))


@pytest.fixture(scope="module")
def lens(tmp_path_factory: pytest.TempPathFactory) -> Lens:
    path = tmp_path_factory.mktemp("lens") / "0.txt"
    np.savetxt(path, PINHOLE)
    return read_lens(path, WIDTH, HEIGHT)


def _ray_hits(lens: Lens, pixel: np.ndarray, camera_from_box: np.ndarray, size_m: np.ndarray) -> bool:
    """Whether the ray of a pixel, found by a root finder, passes a point in the box, seen by walking along it."""
    ideal = scipy.optimize.fsolve(lambda uv: distort_pixels(uv, lens.intrinsics, lens.distortion) - pixel, pixel)
    ray = np.append((ideal - lens.intrinsics[:2, 2]) / lens.intrinsics[[0, 1], [0, 1]], 1.0)
    points = np.linspace(0.0, 15.0, 6000)[:, None] * ray - camera_from_box[:3, 3]
    return bool((np.abs(points @ camera_from_box[:3, :3]) < size_m / 2).all(-1).any())


PLACES = {"ahead": (0.3, 0.2, 8.0), "cut by the border": (5.5, 0.5, 7.0), "reaching behind": (1.5, 0.5, 1.0)}


@pytest.mark.parametrize("place", PLACES)
def test_pixels_of_a_box_equal_a_walk_along_their_rays(lens: Lens, place: str) -> None:
    camera_from_box, size_m = np.eye(4), np.array([4.0, 1.8, 1.5])
    camera_from_box[:3, :3] = np.array([[0, -1, 0], [0, 0, -1], [1.0, 0, 0]]) @ pose_at(0, 0, 0, 0.4)[:3, :3]
    camera_from_box[:3, 3] = PLACES[place]
    mask = np.zeros((HEIGHT, WIDTH), bool)
    rows, columns, hit = box_pixels(lens, camera_from_box, size_m)
    mask[rows, columns] = hit
    assert 50 < mask.sum() < 0.9 * mask.size
    pixels = np.random.default_rng(0).uniform([0, 0], [WIDTH, HEIGHT], (300, 2)).astype(int)
    expected = [_ray_hits(lens, pixel + 0.5, camera_from_box, size_m) for pixel in pixels]
    assert 5 < sum(expected) < 295
    assert sum(mask[row, column] != hits for (column, row), hits in zip(pixels, expected, strict=True)) <= 1


def test_a_box_behind_the_camera_has_no_pixel(lens: Lens) -> None:
    behind = np.eye(4)
    behind[:3, 3] = 0.0, 0.0, -8.0
    assert box_pixels(lens, behind, np.ones(3))[2].size == 0


def test_rays_of_a_camera_are_those_of_its_file_without_distortion(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "0.txt", [*PINHOLE[:4], 0, 0, 0, 0, 0])
    matrix = torch.tensor([[PINHOLE[0], 0.0, PINHOLE[2]], [0.0, PINHOLE[1], PINHOLE[3]], [0.0, 0.0, 1.0]])
    rays = pinhole_rays(Camera(matrix, torch.eye(4), WIDTH, HEIGHT)).rays
    np.testing.assert_allclose(rays, read_lens(tmp_path / "0.txt", WIDTH, HEIGHT).rays, atol=1e-6)


def _track(name: str, place: tuple[float, float], speed: float) -> BoxTrack:
    poses = np.stack([pose_at(place[0] + speed * t, place[1], 0.8) for t in range(3)])
    return BoxTrack(name, name, (0, 1, 2), poses, np.tile([4.0, 1.8, 1.6], (3, 1)))


def test_written_masks_hold_moving_objects_by_kind(tmp_path: Path) -> None:
    tracks = [
        _track("Vehicle", (12.0, 2.5), 1.0),
        _track("Pedestrian", (10.0, -2.5), 0.8),
        _track("Parked", (20, 0), 0),
    ]
    make_folders(tmp_path)
    write_rig(tmp_path, [RIG])
    for t in range(3):
        write_frame(tmp_path, t, pose_at(0, 0, 0), {"0": np.zeros((HEIGHT, WIDTH, 3), np.uint8)})
    write_tracks(tmp_path, tracks, 3)
    write_dynamic_masks(tmp_path, tracks, 3)
    masks = {
        kind: np.asarray(Image.open(tmp_path / "dynamic_masks" / kind / "002_0.png").convert("L"))
        for kind in ("all", "vehicle", "human")
    }
    assert set(np.unique(masks["all"])) == {0, 255}
    np.testing.assert_array_equal(masks["all"], masks["vehicle"] | masks["human"])
    assert masks["vehicle"][:, : WIDTH // 2].any() and not masks["vehicle"][:, WIDTH // 2 :].any()  # it is on the left
    assert masks["human"][:, WIDTH // 2 :].any() and not masks["human"][:, : WIDTH // 2].any()
    assert not masks["all"][24:34, 38:44].any()  # the parked one ahead
    assert load_dynamic_mask(read_drive(tmp_path).frames[2]).any()


def test_the_pose_of_the_image_counts_where_it_is_known(tmp_path: Path) -> None:
    track = _track("Vehicle", (12.0, 2.5), 1.0)
    make_folders(tmp_path)
    write_rig(tmp_path, [RIG])
    image = {"0": np.zeros((HEIGHT, WIDTH, 3), np.uint8)}
    for t, moved in enumerate([{}, {"0": pose_at(4.0, 0, 0)}, {}]):
        write_frame(tmp_path, t, pose_at(0, 0, 0), image, image_poses=moved)
    there_and_back = np.stack([pose_at(x, 2.5, 0.8) for x in (12, 14, 12)])
    write_dynamic_masks(tmp_path, [dataclasses.replace(track, world_from_box=there_and_back)], 3)
    areas = [int(np.asarray(Image.open(tmp_path / f"dynamic_masks/all/{t:03d}_0.png")).sum()) for t in range(3)]
    assert areas[0] == areas[2] and areas[1] > 1.2 * areas[0]


def test_moving_is_the_readers_rule() -> None:
    assert leaves_its_place(_track("a", (0.0, 0.0), 0.6).world_from_box[:, :3, 3])
    assert not leaves_its_place(_track("a", (0.0, 0.0), 0.4).world_from_box[:, :3, 3])
