"""Refined poses of the recording vehicle: they move its cameras, and a wrong pose is found from the pictures."""

import dataclasses
from pathlib import Path

import pytest
import torch
from reference.cloud import make_camera, make_gaussians
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.fit.fit_config import OptimiserConfig, RecordingConfig, RigPoseConfig
from faithfusion.fit.motion import rigid_transforms
from faithfusion.fit.optimiser import SceneOptimiser
from faithfusion.fit.recording import Rig
from faithfusion.fit.supervised_view import SupervisedView
from faithfusion.render.render_view import render_view
from faithfusion.scene.fitted_poses import clip_as_fitted
from faithfusion.scene.scene_file import load_scene, save_scene
from faithfusion.types import GaussianScene, Sky
from faithfusion.utils.errors import InputError

FROZEN = OptimiserConfig(means_lr=0.0, quats_lr=0.0, scales_lr=0.0, opacities_lr=0.0, colors_lr=0.0, sky_lr=0.0)


def static_scene(num: int = 400) -> GaussianScene:
    sky = Sky(torch.full((8, 16, 3), 0.4))
    return GaussianScene(make_gaussians(num, opacity_logit=1.0), torch.zeros(num, dtype=torch.long), (), sky)


def test_cameras_move_with_the_vehicle_and_boxes_stay(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "clip"))
    change = rigid_transforms(torch.tensor([[0.1, -0.05, 0.02]]), torch.tensor([[0.0, 0.01, -0.02]]))
    refined = clip.world_from_ego[:4] @ change
    scene = dataclasses.replace(static_scene(), world_from_ego=refined)
    moved = clip_as_fitted(clip, scene)
    for before, after in zip(clip.frames, moved.frames, strict=True):
        ego_from_camera = torch.linalg.inv(clip.world_from_ego[before.time_index]) @ before.camera.world_from_camera
        expected = moved.world_from_ego[before.time_index] @ ego_from_camera
        torch.testing.assert_close(after.camera.world_from_camera, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(moved.world_from_ego[:4], refined) and torch.equal(
        moved.world_from_ego[4:], clip.world_from_ego[4:]
    )
    assert moved.tracks is clip.tracks
    assert clip_as_fitted(clip, static_scene()) is clip
    save_scene(tmp_path / "scene.safetensors", scene, {})
    assert torch.equal(load_scene(tmp_path / "scene.safetensors")[0].world_from_ego, refined)


def test_a_wrong_pose_is_found_from_the_pictures() -> None:
    scene, camera = static_scene(), make_camera(60, 44)
    true_poses = torch.eye(4).repeat(3, 1, 1)
    true_poses[:, 2, 3] = torch.tensor([0.0, 0.1, 0.2])
    errors = rigid_transforms(torch.tensor([[0.03, -0.02, 0.03]]), torch.tensor([[0.004, -0.006, 0.003]]))
    recorded = true_poses @ errors
    views = []
    for time, (true, wrong) in enumerate(zip(true_poses, recorded, strict=True)):
        seen = dataclasses.replace(camera, world_from_camera=true @ camera.world_from_camera)
        picture = render_view(scene, seen, time).color.detach()
        believed = dataclasses.replace(camera, world_from_camera=wrong @ camera.world_from_camera)
        views.append(SupervisedView(believed, time, picture, torch.ones(44, 60), is_recorded=True))
    recording = RecordingConfig(None, None, RigPoseConfig(knot_frames=1, shift_lr_m=1e-3))
    rig = Rig(("0",), recorded)
    optimiser = SceneOptimiser(scene, FROZEN, num_steps=700, extent_m=1.0, recording=recording, rig=rig)
    losses = [optimiser.step(views[step % 3])["photometric"] for step in range(240)]
    assert sum(losses[-3:]) < 0.35 * sum(losses[:3])
    found = optimiser.scene().world_from_ego.detach()
    before_m, after_m = ((pose - true_poses)[:, :3, 3].norm(dim=-1).mean() for pose in (recorded, found))
    assert after_m < 0.4 * before_m


def test_a_regenerated_view_stays_where_it_was_asked_for() -> None:
    scene, camera = static_scene(), make_camera(60, 44)
    picture = render_view(scene, camera, 0).color.detach()
    rig = Rig(("0",), torch.eye(4)[None])
    recording = RecordingConfig(None, None, RigPoseConfig(shift_lr_m=0.1))
    optimiser = SceneOptimiser(scene, FROZEN, num_steps=700, extent_m=1.0, recording=recording, rig=rig)
    optimiser.step(SupervisedView(camera, 0, 1.0 - picture, torch.ones(44, 60)))
    assert torch.equal(optimiser.scene().world_from_ego[0], torch.eye(4))


def test_knots_without_time_between_are_refused() -> None:
    with pytest.raises(InputError, match="rig_poses.knot_frames"):
        RigPoseConfig(knot_frames=0)
