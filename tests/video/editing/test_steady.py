"""A textured wall that a camera drives past, sideways: every surface point is known in every frame."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from tiny_generator import tiny_cameras, tiny_window

from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.composite import composite
from faithfusion.video.editing.editor import EditedClip
from faithfusion.video.editing.steady import AGREEMENT, SteadyEditor, steadied
from faithfusion.video.editors.fixer import FixerOptions
from faithfusion.video.editors.wan import WanOptions

FRAMES, HEIGHT, WIDTH = 5, 32, 48
FOCAL_PX, WALL_M, STEP_M = 40.0, 8.0, 0.5
SHIFT_PX = FOCAL_PX * STEP_M / WALL_M  # 2.5 pixels a frame


def wall_clip() -> torch.Tensor:
    """Smooth colours of the wall's own coordinates, as the moving camera sees them."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    along = [columns + SHIFT_PX * t for t in range(FRAMES)]
    frames = [torch.stack([u / 9.0, rows / 7.0, (u + rows) / 11.0], -1) for u in along]
    return 0.5 + 0.2 * torch.sin(torch.stack(frames))


def drive_past() -> Window:
    window = tiny_window(FRAMES, HEIGHT, WIDTH)
    cameras = tiny_cameras(FRAMES, HEIGHT, WIDTH, STEP_M, axis=0)
    for camera in cameras:
        camera.intrinsics[[0, 1], [0, 1]] = FOCAL_PX
    depth = torch.full((FRAMES, HEIGHT, WIDTH), WALL_M)
    known = torch.zeros(FRAMES, dtype=torch.bool)
    return dataclasses.replace(window, depth=depth, cameras=cameras, known=known)


def test_noise_falls_and_the_picture_stays() -> None:
    clip, window = wall_clip(), drive_past()
    inside = (2, slice(6, -6), slice(8, -8))
    torch.testing.assert_close(steadied(clip, window, 2)[inside], clip[inside], atol=5e-3, rtol=0)
    noisy = clip + 0.01 * torch.randn_like(clip)
    left = (steadied(noisy, window, 2)[inside] - clip[inside]).std()
    assert 0.3 < left / 0.01 < 0.62  # 5 frames: 0.45, and the weights are not all 1


def test_a_pixel_by_hand() -> None:
    clip, window = wall_clip() + 0.02 * torch.randn(FRAMES, HEIGHT, WIDTH, 3), drive_past()
    for camera in window.cameras:
        camera.world_from_camera[0, 3] *= 0.8  # 2 pixels a frame: nothing is interpolated
    row, column, t = 15, 20, 2
    total, weights = clip[t, row, column].clone(), 1.0
    for s in (1, 3):
        moved = column - 2 * (s - t)
        local = [slice(row - 2, row + 3), slice(column - 2, column + 3)]
        there = [slice(row - 2, row + 3), slice(moved - 2, moved + 3)]
        away = (clip[s][*there] - clip[t][*local]).abs().mean()
        weight = math.exp(-((float(away) / AGREEMENT) ** 2))
        total, weights = total + weight * clip[s, row, moved], weights + weight
    torch.testing.assert_close(steadied(clip, window, 1)[t, row, column], total / weights, atol=1e-4, rtol=1e-4)


def test_what_moves_or_is_hidden_stays() -> None:
    clip, window = wall_clip(), drive_past()
    flash = clip.clone()
    flash[2, 10:22, 15:30] = 1.0
    torch.testing.assert_close(steadied(flash, window, 2)[2, 14:18, 19:26], flash[2, 14:18, 19:26], atol=1e-3, rtol=0)
    window.depth[:2], window.depth[3:] = 0.5 * WALL_M, 2.0 * WALL_M
    assert torch.equal(steadied(clip, window, 2)[2], clip[2])


def test_known_frames_and_windows_without_cameras_stay() -> None:
    clip, window = torch.rand(FRAMES, HEIGHT, WIDTH, 3), drive_past()
    window.known[1] = True
    result = steadied(clip, window, 2)
    assert torch.equal(result[1], clip[1]) and not torch.equal(result[2], clip[2])
    assert torch.equal(steadied(clip, window, 0), clip)
    assert torch.equal(steadied(clip, dataclasses.replace(window, cameras=()), 2), clip)


def test_sky_is_followed_by_the_rotation_alone() -> None:
    clip, window = torch.rand(1, HEIGHT, WIDTH, 3).expand(FRAMES, -1, -1, -1).clone(), drive_past()
    clip = F.avg_pool2d(clip.permute(0, 3, 1, 2), 5, 1, 2).permute(0, 2, 3, 1) + 0.01 * torch.randn_like(clip)
    window.depth.zero_()
    still = clip.mean(0)
    assert (steadied(clip, window, 2)[2] - still).std() < 0.4 * (clip[2] - still).std()


def test_the_editor_keeps_its_gain() -> None:
    class Noise:
        def edit(self, window: Window) -> EditedClip:
            edit, gain = wall_clip() + 0.02 * torch.randn(FRAMES, HEIGHT, WIDTH, 3), torch.rand(FRAMES, HEIGHT, WIDTH)
            return EditedClip(composite(window.render, edit, gain), edit, gain, 0.01 * gain)

    window = drive_past()
    torch.manual_seed(1)
    raw = Noise().edit(window)
    torch.manual_seed(1)
    steady = SteadyEditor(Noise(), 1).edit(window)
    assert torch.equal(steady.gain, raw.gain) and torch.equal(steady.sq_error, raw.sq_error)
    assert torch.equal(steady.edit, steadied(raw.edit, window, 1))
    torch.testing.assert_close(torch.lerp(window.render, steady.edit, steady.gain[..., None]), steady.frames)


def test_a_negative_number_of_frames_is_refused() -> None:
    for options in (WanOptions, FixerOptions):
        with pytest.raises(InputError, match="editors.steady: -1"):
            options(steady=-1)
