"""What an edit is expected to leave is what the scene is expected to be wrong by after its distillation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.split_config import SplitConfig
from faithfusion.data.splits import split_clip
from faithfusion.data.trajectories import shifted_cameras
from faithfusion.eig.assess import RecordedViews
from faithfusion.eig.field import EigField
from faithfusion.pipeline.drive import drive_of
from faithfusion.pipeline.stages import carry_error
from faithfusion.scene.initialise import initialise_scene
from faithfusion.scene.scene_config import InitialiseConfig
from faithfusion.video.editing.editor import EditedClip
from faithfusion.window.window import rendered_window

START = InitialiseConfig(max_gaussians=300, sky_height=8, num_frames=4)


def test_expected_is_the_error_of_the_edit_and_what_the_scene_departs_from_it(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path, num_frames=6, width=320, height=240))
    drive = drive_of(clip, split_clip(clip, SplitConfig()), START)
    scene = initialise_scene(clip, clip.frames, START)
    known = EigField.fit(scene, RecordedViews(clip, clip.frames[::2]))
    window = rendered_window(known, clip, shifted_cameras(clip, "0", 2.0), range(clip.num_frames))
    finished, left = window.render + 0.05, 0.1 * window.eig.expected_sq_error
    edited = EditedClip(finished, finished, torch.ones_like(left), left)
    told = {moving: carry_error(known, drive, [(window, edited)], moving) for moving in ("distil", "keep")}
    again = rendered_window(told["distil"], clip, window.cameras, window.time_indices)
    assert torch.equal(again.eig.eig_nats, window.eig.eig_nats)  # of recorded views alone
    expected = float((left + 0.05**2).mean())
    assert float(again.eig.expected_sq_error.mean()) == pytest.approx(expected, rel=0.05)
    assert expected < 0.5 * float(window.eig.expected_sq_error.mean())
    kept = rendered_window(told["keep"], clip, window.cameras, window.time_indices)  # a car is not distilled
    assert expected < float(kept.eig.expected_sq_error.mean()) < float(window.eig.expected_sq_error.mean())
