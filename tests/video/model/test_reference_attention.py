from __future__ import annotations

import torch
from tiny_generator import tiny_generator, tiny_window

from faithfusion.types import ViewPoses
from faithfusion.video.editing.encode import latent_conditions
from faithfusion.video.model.reference_attention import MOMENT_SCALE_M, RAY_FEATURES, pluecker_rays, ray_features


def poses(count: int) -> ViewPoses:
    rotation = torch.linalg.qr(torch.randn(count, 3, 3)).Q
    rotation = rotation * torch.linalg.det(rotation).sign()[:, None, None]
    world_from_camera = torch.eye(4).repeat(count, 1, 1)
    world_from_camera[:, :3, :3], world_from_camera[:, :3, 3] = rotation, 5.0 * torch.randn(count, 3)
    intrinsics = torch.tensor([[40.0, 0.0, 24.0], [0.0, 42.0, 15.0], [0.0, 0.0, 1.0]]).repeat(count, 1, 1)
    return ViewPoses(intrinsics, world_from_camera)


def test_rays_pass_through_the_points_that_their_pixels_show() -> None:
    views = poses(3)
    frame = views.world_from_camera[0]
    rays = pluecker_rays(views, frame, 32, 48, 16)
    assert rays.shape == (3, 6, 2, 3)
    for camera, row, column in torch.cartesian_prod(torch.arange(3), torch.arange(2), torch.arange(3)).tolist():
        u, v, depth_m = 16 * column + 8.0, 16 * row + 8.0, 7.0
        pixel = torch.tensor([(u - 24.0) / 40.0, (v - 15.0) / 42.0, 1.0]) * depth_m
        world = views.world_from_camera[camera] @ torch.cat([pixel, torch.ones(1)])
        point = (torch.linalg.inv(frame) @ world)[:3]
        direction, moment = rays[camera, :3, row, column], rays[camera, 3:, row, column] * MOMENT_SCALE_M
        assert abs(float(direction.norm()) - 1.0) < 1e-5
        torch.testing.assert_close(torch.linalg.cross(point, direction), moment, atol=1e-3, rtol=1e-3)


def test_rays_do_not_depend_on_where_the_world_is() -> None:
    views = poses(2)
    moved = poses(1).world_from_camera[0]
    elsewhere = ViewPoses(views.intrinsics, moved @ views.world_from_camera)
    here = pluecker_rays(views, views.world_from_camera[0], 32, 48, 16)
    there = pluecker_rays(elsewhere, elsewhere.world_from_camera[0], 32, 48, 16)
    torch.testing.assert_close(there, here, atol=1e-4, rtol=1e-4)


def test_ray_features_tell_rays_apart() -> None:
    rays = torch.rand(5, 6)
    features = ray_features(rays)
    assert features.shape == (5, RAY_FEATURES)
    torch.testing.assert_close(features[:, :6], rays)
    torch.testing.assert_close(features[0, 6], (rays[0, 0] * torch.pi).sin())
    assert torch.cdist(features, features).fill_diagonal_(1.0).min() > 0.1


@torch.no_grad()
def test_references_start_silent_then_speak_and_are_read_once() -> None:
    generator = tiny_generator(prior="none", trained=True, branch__references=True)
    conditions = latent_conditions(generator, [tiny_window(poses=True)])
    x_t, time = torch.randn_like(conditions.render_latent), torch.tensor([0.6])
    silent = generator.velocity(x_t, time, conditions)
    conditions.references.latent.normal_()
    assert torch.equal(generator.velocity(x_t, time, conditions), silent)
    for projection in generator.branch.references.to_out:
        projection.weight.normal_()
    speaking = generator.velocity(x_t, time, conditions)
    assert (speaking - silent).abs().max() > 1e-3
    torch.testing.assert_close(generator.velocity(x_t, time, generator.prepare(conditions)), speaking)
    conditions.references.rays.neg_()
    assert (generator.velocity(x_t, time, conditions) - speaking).abs().max() > 1e-4, "rays place the references"
