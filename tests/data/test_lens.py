"""Lens distortion: undone where the lens saw something, marked where it did not, computed once per camera."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_clip import write_tiny_clip

from faithfusion.data import lens
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.images import load_image, load_valid_mask
from faithfusion.data.lens import distort_pixels, largest_r2, make_lens_map, remap, undistort_pixels

K = np.array([[60.0, 0.0, 32.0], [0.0, 60.0, 24.0], [0.0, 0.0, 1.0]])
MILD = np.array([-0.2, 0.05, 0.01, -0.01, 0.0])
WIDE = np.array([0.12, 0.0, 0.0, 0.0, 0.0])  # pincushion: corners of the pinhole image lie outside the recorded one


def test_undistortion_puts_a_point_back_where_a_pinhole_sees_it() -> None:
    ideal = np.array([50.5, 35.5])
    seen = distort_pixels(ideal, K, MILD)
    assert np.abs(seen - ideal).max() > 0.5
    v, u = np.meshgrid(np.arange(48) + 0.5, np.arange(64) + 0.5, indexing="ij")
    blob = np.exp(-((u - seen[0]) ** 2 + (v - seen[1]) ** 2) / 8.0)
    grid = make_lens_map(K, MILD, 64, 48).grid
    fixed = remap(torch.from_numpy(blob).float()[..., None], grid, mode="bilinear")[..., 0]
    row, column = divmod(int(fixed.argmax()), 64)
    assert (column + 0.5, row + 0.5) == tuple(ideal)


def test_undistorted_pixels_are_the_inverse() -> None:
    recorded = np.random.default_rng(0).uniform([0, 0], [64, 48], (200, 2))
    ideal = undistort_pixels(recorded, K, MILD)
    np.testing.assert_allclose(distort_pixels(ideal, K, MILD), recorded, atol=1e-6)
    assert np.abs(ideal - recorded).max() > 1.0


def _seen_slowly(distortion: np.ndarray, width: int, height: int) -> np.ndarray:
    """Walks out along the ray of every pixel: it must reach the pixel with a growing radius, inside the image."""
    seen = np.zeros((height, width), bool)
    for row in range(height):
        for column in range(width):
            target = np.array([column + 0.5, row + 0.5])
            steps = K[:2, 2] + np.linspace(0, 1, 400)[:, None] * (target - K[:2, 2])
            path = distort_pixels(steps, K, distortion)
            grows = (np.diff(np.linalg.norm(path - K[:2, 2], axis=-1)) > -1e-12).all()
            seen[row, column] = grows and (path[-1] >= 0).all() and (path[-1] <= [width, height]).all()
    return seen


@pytest.mark.parametrize("distortion", [WIDE, np.array([-1.6, 0.0, 0.0, 0.0, 0.0]), np.array([0.2, -2.4, 0, 0, 0.3])])
def test_pixels_that_saw_nothing_equal_a_slow_walk_along_the_rays(distortion: np.ndarray) -> None:
    seen = make_lens_map(K, distortion, 64, 48).seen
    expected = _seen_slowly(distortion, 64, 48)
    assert 0.3 < expected.mean() < 1.0
    assert (seen.numpy() != expected).mean() < 0.005


def test_a_lens_that_sees_everything_has_no_mask_and_no_limit() -> None:
    barrel = np.array([-0.05, 0.0, 0.0, 0.0, 0.0])
    assert make_lens_map(K, barrel, 64, 48).seen is None
    assert largest_r2(WIDE) == np.inf
    assert largest_r2(barrel) == pytest.approx(1 / 0.15)


def test_frames_of_a_wide_lens_have_a_mask_and_others_none(tmp_path: Path) -> None:
    wide = read_drive(write_tiny_clip(tmp_path / "wide", optional=False, distortion=(0.4, 0.0, 0.0, 0.0, 0.0)))
    straight = read_drive(write_tiny_clip(tmp_path / "straight", optional=False))
    seen = load_valid_mask(wide.frames[0])
    assert seen.shape == (24, 32) and seen[12, 16] and not seen[0, 0]
    assert load_valid_mask(straight.frames[0]) is None


def test_the_map_is_computed_once_per_camera_and_anew_for_a_new_file(tmp_path: Path, monkeypatch) -> None:
    calls = []

    def counted(*args: object) -> lens.LensMap:
        calls.append(args)
        return make_lens_map(*args)

    monkeypatch.setattr(lens, "make_lens_map", counted)
    clip = read_drive(write_tiny_clip(tmp_path / "bent", distortion=(-0.3, 0.0, 0.0, 0.0, 0.0)))
    before = [load_image(frame) for frame in clip.frames][0]
    assert len(calls) == 2  # two cameras, six frames
    path = clip.root / "intrinsics" / "0.txt"
    values = np.loadtxt(path)
    values[4] = -0.1
    np.savetxt(path, values)
    assert (load_image(clip.frames[0]) - before).abs().max() > 0.01
    assert len(calls) == 3
