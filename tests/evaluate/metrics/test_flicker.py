import math

import pytest
import torch
from torch import Tensor

from faithfusion.evaluate.metrics.flicker import warp_error
from faithfusion.evaluate.metrics.followed_points import follow_clip, follow_points
from faithfusion.render.reproject import sample_image, world_points
from faithfusion.types import Camera

WIDTH, HEIGHT, FOCAL = 48, 32, 40.0
WALL_M = 8.0


def camera(x_m: float, z_m: float = 0.0) -> Camera:
    pose = torch.eye(4)
    pose[0, 3], pose[2, 3] = x_m, z_m
    intrinsics = torch.tensor([[FOCAL, 0.0, WIDTH / 2], [0.0, FOCAL, HEIGHT / 2], [0.0, 0.0, 1.0]])
    return Camera(intrinsics, pose, WIDTH, HEIGHT)


def wall(cameras: list[Camera]) -> tuple[Tensor, Tensor]:
    """Exact pictures and depths of a textured wall at world z = 8 m."""
    frames, depths = [], []
    for view in cameras:
        depth = torch.full((HEIGHT, WIDTH), WALL_M - float(view.world_from_camera[2, 3]))
        x, y, _ = world_points(depth, view).unbind(-1)
        frames.append(
            torch.stack([0.5 + 0.4 * torch.sin(x), 0.5 + 0.4 * torch.cos(y), 0.5 + 0.3 * torch.sin(x + y)], -1)
        )
        depths.append(depth)
    return torch.stack(frames), torch.stack(depths)


def test_world_points_hits_pixel_centres() -> None:
    points = world_points(torch.full((HEIGHT, WIDTH), 2.0), camera(1.0, 3.0))
    expected = [1.0 + (10.5 - WIDTH / 2) / FOCAL * 2, (4.5 - HEIGHT / 2) / FOCAL * 2, 5.0]
    assert points[4, 10].tolist() == pytest.approx(expected)


def test_bilinear_samples_match_by_hand() -> None:
    image = torch.rand(4, 5, 2)
    uv = torch.tensor([[[2.5, 1.5], [2.75, 1.5], [2.5, 2.25]]])
    by_hand = torch.stack(
        [image[1, 2], 0.75 * image[1, 2] + 0.25 * image[1, 3], 0.25 * image[1, 2] + 0.75 * image[2, 2]]
    )
    torch.testing.assert_close(sample_image(image, uv)[0], by_hand)


def test_a_static_wall_does_not_flicker_and_added_flicker_shows() -> None:
    cameras = [camera(0.3 * t, 0.2 * t) for t in range(4)]
    video, depths = wall(cameras)
    still = warp_error(video, follow_clip(depths, cameras))
    flicker = torch.tensor([0.05, -0.05, 0.05, -0.05])[:, None, None, None]
    moving_camera_only = float((video[1:] - video[:-1]).abs().mean())
    assert still < 2e-3 < 0.01 < moving_camera_only
    assert warp_error(video + flicker, follow_clip(depths, cameras)) == pytest.approx(0.1, abs=5e-3)


def test_only_the_region_counts() -> None:
    cameras = [camera(0.1 * t) for t in range(3)]
    video, depths = wall(cameras)
    video[1, :, : WIDTH // 2] += 0.3
    right = torch.zeros(video.shape[:3], dtype=torch.bool)
    right[:, :, 3 * WIDTH // 4 :] = True
    followed = follow_clip(depths, cameras)
    assert warp_error(video, followed, right) < 2e-3 < 0.1 < warp_error(video, followed)
    assert math.isnan(warp_error(video, followed, torch.zeros_like(right)))
    assert math.isnan(warp_error(video[:1], follow_clip(depths[:1], cameras[:1])))


def test_hidden_and_missing_points_are_left_out() -> None:
    first, second = camera(0.0), camera(0.0)
    depth, next_depth = torch.full((HEIGHT, WIDTH), WALL_M), torch.full((HEIGHT, WIDTH), WALL_M)
    next_depth[:, 20:25] = 3.0  # something passed in front
    depth[0] = 0.0
    uv, visible = follow_points(depth, next_depth, first, second)
    assert not visible[:, 20:25].any()
    assert not visible[0].any()
    assert visible[1:, :19].all() and visible[1:, 26:].all()
    torch.testing.assert_close(uv[2, 3], torch.tensor([3.5, 2.5]))
    _, visible = follow_points(depth, next_depth, first, camera(100.0))
    assert not visible.any()
