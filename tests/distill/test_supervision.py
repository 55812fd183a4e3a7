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
from faithfusion.distill.supervision import novel_depth, novel_views, supervision
from faithfusion.distill.weights.context import SceneContext, WeightContext
from faithfusion.fit.fit_config import OptimiserConfig
from faithfusion.fit.optimiser import scene_losses
from faithfusion.fit.supervised_view import ViewLoader, halve_view, to_device
from faithfusion.render.render_view import render_view
from faithfusion.scene.initialise import initialise_scene
from faithfusion.scene.scene_config import InitialiseConfig
from faithfusion.types import Camera, DriveClip, Window
from faithfusion.utils.image_math import ssim_map
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


def test_the_released_loss_has_its_bins_in_l1_alone(tmp_path: Path) -> None:
    """The formula of the released code: 0.8 bin(G) |c - t| + 0.2 * 0.7 (1 - SSIM), means over the pixels; all of it
    times the factor of new views."""
    clip = read_drive(write_tiny_clip(tmp_path, num_frames=3, optional=False))
    scene = initialise_scene(clip, clip.frames, InitialiseConfig(max_gaussians=200, sky_height=8, num_frames=3))
    window = shifted_window(clip)
    edited = EditedClip(window.truth, window.truth, *torch.ones(2, 3, 24, 32))
    gain = torch.rand(3, 24, 32) ** 3
    context = WeightContext(SceneContext(scene, clip, ViewLoader(clip, clip.frames), clip.frames), window)
    vars(context)["published_gain"] = gain
    bins = torch.where(gain < 0.05, 0.1, torch.where(gain < 0.2, 0.3, 0.7))
    for name, besides_l1 in (("released", torch.full_like(gain, 0.7)), ("published_map", bins)):
        view = to_device(supervision(context, edited, DistillConfig(weight=name, novel_weight=0.25))[1], "cpu")
        rendering = render_view(scene, view.camera, 1)
        l1 = (bins[1][..., None] * (rendering.color - window.truth[1]).abs()).mean()
        ssim = (besides_l1[1] * (1.0 - ssim_map(rendering.color, window.truth[1]))).mean()
        losses = scene_losses(rendering, view, OptimiserConfig())
        assert set(losses) == {"photometric"}
        torch.testing.assert_close(losses["photometric"], 0.25 * (0.8 * l1 + 0.2 * ssim))
    half = halve_view(supervision(context, edited, DistillConfig(weight="released"))[1])
    assert half.l1_weight.shape == half.pixel_weight.shape == (12, 16)
