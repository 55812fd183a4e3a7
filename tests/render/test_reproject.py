from __future__ import annotations

import math

import torch

from faithfusion.render.reproject import FAR_M, pixel_rays, sample_image, sight, world_points
from faithfusion.types import Camera


def turned_camera(yaw_deg: float, centre: tuple[float, float, float], width: int = 12, height: int = 8) -> Camera:
    """Looks along world x, turned to the left by `yaw_deg`; z of the world is up."""
    yaw = math.radians(yaw_deg)
    pose = torch.eye(4, dtype=torch.float64)
    forward = torch.tensor([math.cos(yaw), math.sin(yaw), 0.0], dtype=torch.float64)
    left = torch.tensor([-math.sin(yaw), math.cos(yaw), 0.0], dtype=torch.float64)
    pose[:3, :3] = torch.stack([-left, torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64), forward], dim=1)
    pose[:3, 3] = torch.tensor(centre, dtype=torch.float64)
    matrix = torch.tensor([[9.0, 0.0, 6.2], [0.0, 8.5, 3.9], [0.0, 0.0, 1.0]], dtype=torch.float64)
    return Camera(matrix, pose, width, height)


def test_points_come_back_to_their_pixels():
    camera = turned_camera(20.0, (1.0, -2.0, 1.5))
    depth = 2.0 + torch.rand(8, 12, dtype=torch.float64)
    sighting = sight(world_points(depth, camera), camera)
    torch.testing.assert_close(sighting.uv[..., 0], (torch.arange(12).double() + 0.5).expand(8, 12))
    torch.testing.assert_close(sighting.uv[..., 1], (torch.arange(8).double() + 0.5)[:, None].expand(8, 12))
    torch.testing.assert_close(sighting.z_m, depth)
    assert sighting.is_inside.all()


def test_against_one_pixel_by_hand():
    new, old = turned_camera(5.0, (0.0, 0.0, 1.5)), turned_camera(-10.0, (-1.0, 2.0, 1.7))
    depth = torch.full((8, 12), 7.0, dtype=torch.float64)
    sighting = sight(world_points(depth, new), old)
    row, column = 5, 3
    pixel = torch.tensor([column + 0.5, row + 0.5, 1.0], dtype=torch.float64)
    local = 7.0 * torch.linalg.solve(new.intrinsics, pixel)
    world = new.world_from_camera @ torch.cat([local, torch.ones(1, dtype=torch.float64)])
    there = (torch.linalg.inv(old.world_from_camera) @ world)[:3]
    u, v = (old.intrinsics @ there / there[2])[:2]
    torch.testing.assert_close(sighting.z_m[row, column], there[2])
    torch.testing.assert_close(sighting.uv[row, column], torch.stack([u, v]))


def test_rays_have_unit_depth_and_nothing_is_far_away():
    camera = turned_camera(40.0, (3.0, 1.0, 2.0))
    forward = camera.world_from_camera[:3, 2]
    torch.testing.assert_close(pixel_rays(camera) @ forward, torch.ones(8, 12, dtype=torch.float64))
    points = world_points(torch.zeros(8, 12, dtype=torch.float64), camera)
    torch.testing.assert_close(
        (points - camera.world_from_camera[:3, 3]) @ forward, torch.full((8, 12), FAR_M).double()
    )


def test_behind_the_camera_is_not_inside():
    camera = turned_camera(0.0, (0.0, 0.0, 1.5))
    behind = torch.tensor([[[-5.0, 0.0, 1.5]]], dtype=torch.float64)
    assert not sight(behind, camera).is_inside.any()


def test_sampling_a_ramp_is_exact_between_pixels():
    camera = turned_camera(0.0, (0.0, 0.0, 1.5))
    ramp = torch.arange(12.0, dtype=torch.float64).expand(8, 12)[..., None]
    sighting = sight(world_points(torch.full((8, 12), 4.0, dtype=torch.float64), camera), camera)
    shifted = sighting.uv + torch.tensor([0.25, 0.0])
    torch.testing.assert_close(sample_image(ramp, shifted)[:, 2:-2], ramp[:, 2:-2] + 0.25)
    torch.testing.assert_close(sighting.sample(ramp), ramp)


def test_a_point_is_shown_where_the_depth_agrees_and_it_is_inside():
    new, old = turned_camera(0.0, (0.0, 0.0, 1.5)), turned_camera(0.0, (-1.0, 0.0, 1.5))
    sighting = sight(world_points(torch.full((8, 12), 7.0, dtype=torch.float64), new), old)
    for depth_m, agrees in ((8.0, True), (8.3, True), (8.5, False), (7.5, False), (0.0, False)):
        shown = sighting.is_shown(torch.full((8, 12), depth_m, dtype=torch.float64))
        assert torch.equal(shown, sighting.is_inside if agrees else torch.zeros_like(sighting.is_inside)), depth_m
    assert sighting.is_inside.any()
