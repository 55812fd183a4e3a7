from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from tiny_clip import write_tiny_clip
from tiny_generator import tiny_window

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.lidar import lidar_depth, load_points_world
from faithfusion.data.trajectories import shifted_cameras
from faithfusion.distill.config import DistillConfig
from faithfusion.distill.supervision import novel_depth, novel_views
from faithfusion.types import Camera, DriveClip, Window
from faithfusion.video.editing.editor import EditedClip


def shifted_window(clip: DriveClip) -> Window:
    """What the front camera of a drive would see a metre to the left."""
    cameras = tuple(shifted_cameras(clip, "0", 1.0))
    return dataclasses.replace(tiny_window(3, 24, 32), cameras=cameras, time_indices=(0, 1, 2))


def test_depth_of_new_views_is_that_of_the_scan_or_of_the_render(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path, num_frames=3))
    window = shifted_window(clip)
    window.eig.alpha[:, :10] = 0.5  # hardly anything there
    assert novel_depth("none", clip, window) == [None] * 3
    render = novel_depth("render", clip, window)
    assert (render[1][:10] == 0).all() and torch.equal(render[1][10:], window.depth[1, 10:])
    scans = novel_depth("lidar", clip, window)
    assert torch.equal(scans[2], lidar_depth(load_points_world(clip, 2), window.cameras[2]))
    assert any((scan > 0).any() for scan in scans)


def test_without_lidar_there_is_no_depth(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path, num_frames=3, optional=False))
    assert novel_depth("lidar", clip, shifted_window(clip)) == [None] * 3


def test_views_are_the_edit_or_the_composite_with_their_weights_and_depths() -> None:
    cameras = tuple(Camera(torch.eye(3), torch.eye(4), 32, 24, str(t)) for t in range(3))
    window = dataclasses.replace(tiny_window(3, 24, 32), cameras=cameras, time_indices=(4, 5, 6))
    edited = EditedClip(window.render, 1.0 - window.render, *torch.rand(2, 3, 24, 32))
    weight, depth = torch.rand(3, 24, 32), [None, torch.ones(24, 32), None]
    views = novel_views(window, edited, weight, depth, DistillConfig())
    assert [view.time_index for view in views] == [4, 5, 6] and [view.camera.name for view in views] == ["0", "1", "2"]
    assert torch.equal(views[1].image, edited.edit[1]) and torch.equal(views[1].pixel_weight, weight[1])
    assert views[1].lidar_depth_m is depth[1] and views[0].lidar_depth_m is None and not views[0].is_recorded
    composite = novel_views(window, edited, weight, depth, dataclasses.replace(DistillConfig(), target="composite"))
    assert torch.equal(composite[2].image, edited.frames[2])
