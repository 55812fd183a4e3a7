"""References see what the window shows: overlap against a loop over points, choice on a straight drive."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from reference.cloud import make_camera
from tiny_clip import write_tiny_clip
from tiny_generator import tiny_window

from faithfusion.clips.windows import Span
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.images import load_image
from faithfusion.render.reproject import seen_by
from faithfusion.types import Camera
from faithfusion.window.references import anchor_frames, choose_references, load_references, visible_points


def moved(camera: Camera, metres: list[float]) -> Camera:
    pose = camera.world_from_camera.clone()
    pose[:3, 3] += pose[:3, :3] @ torch.tensor(metres)
    return dataclasses.replace(camera, world_from_camera=pose)


def test_points_lie_at_their_depth_and_overlap_is_counted() -> None:
    camera = make_camera(64, 48)
    depth = 5.0 + torch.rand(48, 64)
    alpha = (torch.rand(48, 64) > 0.3).float()
    points = visible_points(depth, alpha, camera)
    assert seen_by([camera], points).all()
    other = moved(camera, [1.5, 0.2, 1.0])
    seen = 0
    for point in points:
        local = other.camera_from_world @ torch.cat([point, torch.ones(1)])
        u, v, w = (other.intrinsics @ local[:3]).tolist()
        seen += w > 0 and 0 <= u / w < 64 and 0 <= v / w < 48
    assert 0 < seen < len(points)
    assert int(seen_by([camera, other], points)[1].sum()) == seen
    own = torch.stack([camera.camera_from_world @ torch.cat([point, torch.ones(1)]) for point in points])
    assert ((own[:, 2] - 20.0).abs() < 1e-3).any() and ((own[:, 2] >= 5.0) & (own[:, 2] <= 20.001)).all()


def test_anchors_spread_over_the_span() -> None:
    assert anchor_frames(Span(4, 13), 3) == [4, 8, 12]
    assert anchor_frames(Span(4, 13), 2) == [4, 12]
    assert anchor_frames(Span(4, 13), 1) == [8]


def test_nearest_views_that_look_there_are_chosen_each_once(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "clip", num_frames=12))
    cameras = [clip.frame(t, "0").camera for t in range(12)]
    window = dataclasses.replace(tiny_window(12, 24, 32), cameras=tuple(cameras), time_indices=tuple(range(12)))
    candidates = [clip.frame(t, "0") for t in (0, 3, 6, 9)]
    chosen = choose_references(window, Span(3, 12), candidates, 3)
    assert chosen == (1, 2, 3)
    assert choose_references(window, Span(5, 6), candidates[:2], 3) == (1, 0, 1)
    backwards = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))  # half a turn about the camera's y axis
    away = dataclasses.replace(cameras[6], world_from_camera=cameras[6].world_from_camera @ backwards)
    candidates[2] = dataclasses.replace(candidates[2], camera=away)
    assert 2 not in choose_references(window, Span(3, 12), candidates, 3)


def test_pictures_and_poses_go_together(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "clip"))
    frames = [clip.frame(1, "0"), clip.frame(3, "1")]
    images, cameras = load_references(frames, 1, (16, 32))
    for number, frame in enumerate(frames):
        assert torch.equal(images[number], load_image(frame)[4:20])
        assert torch.equal(cameras[number].world_from_camera, frame.camera.world_from_camera)
        expected = frame.camera.intrinsics - torch.tensor([[0, 0, 0], [0, 0, 4.0], [0, 0, 0]])
        assert torch.equal(cameras[number].intrinsics, expected)
