"""A road with a texture and a wall, seen by made-up cameras whose pictures are known exactly."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from faithfusion.render.reproject import pixel_rays, sample_image, world_points
from faithfusion.scene.ground import CELL_M, Ground
from faithfusion.types import Camera, Frame
from faithfusion.utils.errors import InputError
from faithfusion.window.warp import (
    ABOVE_GROUND_M,
    COARSER_WEIGHT,
    RecordedView,
    candidates,
    elected,
    look_up,
    on_ground,
)
from faithfusion.window.warp_config import WarpConfig

HEIGHT, WIDTH = 48, 64


def camera_at(left_m: float, forward_m: float = 0.0) -> Camera:
    """1.5 m above the road, looking along x and a little down."""
    pose = torch.eye(4)
    down = 0.15
    pose[:3, :3] = torch.tensor([[0.0, -down, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, -down]])
    pose[:3, :3] /= pose[:3, :3].norm(dim=0)
    pose[:3, 3] = torch.tensor([forward_m, left_m, 1.5])
    matrix = torch.tensor([[50.0, 0.0, WIDTH / 2], [0.0, 50.0, HEIGHT / 2], [0.0, 0.0, 1.0]])
    return Camera(matrix, pose, WIDTH, HEIGHT)


def true_depth(camera: Camera) -> torch.Tensor:
    """Of the road z = 0 up to a wall at x = 30 m."""
    rays, centre = pixel_rays(camera), camera.world_from_camera[:3, 3]
    road = torch.where(rays[..., 2] < 0, centre[2] / -rays[..., 2].clamp_max(-1e-6), torch.inf)
    wall = (30.0 - centre[0]) / rays[..., 0]
    return torch.minimum(road, wall)


def texture(points: torch.Tensor) -> torch.Tensor:
    """Smooth colours of the world."""
    x, y, z = points.unbind(-1)
    return torch.stack([0.5 + 0.4 * torch.sin(0.5 * x), 0.5 + 0.4 * torch.sin(0.7 * y), 0.5 + 0.05 * z], dim=-1)


def view_of(camera: Camera) -> RecordedView:
    depth = true_depth(camera)
    valid = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    return RecordedView(camera, texture(world_points(depth, camera)), valid, depth)


def flat_ground(height_m: float = 0.0) -> Ground:
    size = (40, 40)
    origin = torch.tensor([-10.0, -30.0])
    return Ground(origin, torch.full(size, height_m), torch.ones(size, dtype=torch.bool))


def near_road(camera: Camera) -> torch.Tensor:
    """Pixels that look at the road within 20 m."""
    return (true_depth(camera) < 20.0) & (world_points(true_depth(camera), camera)[..., 2] < 0.01)


def test_a_view_from_the_next_lane_gives_the_true_colours():
    new, old = camera_at(3.0), view_of(camera_at(0.0))
    points = world_points(true_depth(new), new)
    uv, cost, trust = look_up(old, points, new.world_from_camera[:3, 3])
    color = sample_image(old.image, uv, "bicubic")
    shown = (trust > 0) & near_road(new)
    assert shown.float().mean() > 0.2
    torch.testing.assert_close(color[shown], texture(points)[shown], atol=0.03, rtol=0)
    assert (cost[shown] > 0).all()


def test_cost_is_the_angle_between_the_rays_and_what_resolution_is_lost():
    new, old = camera_at(3.0), view_of(camera_at(0.0, -10.0))
    points = world_points(true_depth(new), new)
    _, cost, _ = look_up(old, points, new.world_from_camera[:3, 3])
    row, column = 40, 20
    a = points[row, column] - new.world_from_camera[:3, 3]
    b = points[row, column] - old.camera.world_from_camera[:3, 3]
    angle = torch.acos(torch.dot(a, b) / a.norm() / b.norm())
    expected = angle + COARSER_WEIGHT * max(float(b.norm() / a.norm()) - 1.0, 0.0)
    torch.testing.assert_close(cost[row, column], expected, atol=1e-4, rtol=1e-4)


def test_own_view_is_trusted_fully():
    view = view_of(camera_at(0.0))
    points = world_points(view.depth_m, view.camera)
    uv, _, trust = look_up(view, points, view.camera.world_from_camera[:3, 3])
    color = sample_image(view.image, uv, "bicubic")
    inside = (slice(2, -2), slice(2, -2))
    assert (trust[inside] > 0.95).float().mean() > 0.95
    torch.testing.assert_close(color[inside], view.image[inside], atol=1e-3, rtol=0)


def test_what_stands_in_front_hides_the_surface():
    new, old = camera_at(1.0), view_of(camera_at(0.0))
    depth = old.depth_m.clone()
    depth[:, WIDTH // 2 :] = 2.0  # a car beside the camera
    hidden = dataclasses.replace(old, depth_m=depth)
    points = world_points(true_depth(new), new)
    centre = new.world_from_camera[:3, 3]
    _, _, before = look_up(old, points, centre)
    _, _, after = look_up(hidden, points, centre)
    far = true_depth(new) > 4.0
    lost = (before > 0) & (after == 0) & far
    assert lost.sum() > 100
    assert not ((after > 0) & (before == 0)).any()


def test_pixels_that_show_nothing_of_the_world_are_not_used():
    view = view_of(camera_at(0.0))
    blind = dataclasses.replace(view, is_valid=torch.zeros_like(view.is_valid))
    points = world_points(view.depth_m, view.camera)
    assert (look_up(blind, points, view.camera.world_from_camera[:3, 3])[2] == 0).all()


def test_depth_near_the_ground_goes_into_it():
    camera = camera_at(0.0)
    depth = true_depth(camera)
    road = near_road(camera)
    noisy = depth * (1.0 + 0.1 * torch.sin(torch.arange(WIDTH).float()))  # floats up to 0.15 m above and below
    settled = on_ground(noisy, camera, flat_ground(), ABOVE_GROUND_M)
    torch.testing.assert_close(settled[road], depth[road], atol=1e-3, rtol=1e-4)


def test_depth_of_what_stands_on_the_ground_stays():
    camera = camera_at(0.0)
    depth = true_depth(camera)
    box = torch.full_like(depth, 5.0)  # surface 5 m ahead
    height = world_points(box, camera)[..., 2]
    settled = on_ground(box, camera, flat_ground(), ABOVE_GROUND_M)
    above = height > ABOVE_GROUND_M
    assert torch.equal(settled[above], box[above])
    assert above.sum() > 100
    unknown = dataclasses.replace(flat_ground(), known=torch.zeros(40, 40, dtype=torch.bool))
    assert torch.equal(on_ground(depth * 1.05, camera, unknown, 0.3), depth * 1.05)
    assert CELL_M * 40 > 30.0  # the made-up ground reaches to the wall


def ring_of_cameras(num_times: int, metres_per_time_stamp: float) -> list[Frame]:
    """Six cameras around a vehicle that drives along x, as nuScenes has them; the first looks ahead."""
    frames = []
    for time in range(num_times):
        for number in range(6):
            camera, angle = camera_at(0.0, time * metres_per_time_stamp), torch.tensor(number * torch.pi / 3.0)
            turn = torch.eye(4)
            turn[:2, :2] = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
            pose = camera.world_from_camera.clone()
            pose[:3, :3] = turn[:3, :3] @ pose[:3, :3]
            camera = dataclasses.replace(camera, world_from_camera=pose, name=str(number))
            frames.append(Frame(time, str(number), camera, Path(f"{time}_{number}.png")))
    return frames


def candidates_of(frames: list[Frame], new: Camera, time: int, config: WarpConfig) -> tuple[list[Frame], list[Frame]]:
    found = candidates(frames, world_points(true_depth(new), new), new, time, config)
    return tuple([frames[index] for index in indices] for indices in found)


def test_candidates_look_where_the_new_view_looks():
    config = WarpConfig(num_views=2, num_far_views=2, far_time_stamps=5, num_candidates=8)
    near, far = candidates_of(ring_of_cameras(20, 1.0), camera_at(3.0, 8.0), 8, config)
    assert [frame.camera_name for frame in near].count("0") > len(near) / 2
    assert not {frame.camera_name for frame in near} & {"2", "3", "4"}  # those that look backwards
    assert min(abs(frame.time_index - 8) for frame in near) == 0
    assert 0 < len(far) <= 8 and all(abs(frame.time_index - 8) >= 5 for frame in far)


def test_of_a_vehicle_that_stands_still_the_views_of_the_same_time_come_first():
    near, _ = candidates_of(ring_of_cameras(20, 0.0), camera_at(3.0), 8, WarpConfig(num_candidates=4))
    times = {frame.time_index for frame in near}
    assert {7, 8, 9} < times < {6, 7, 8, 9, 10}, "every point votes for four: of 6 and 10 either may be the last"


def test_points_elect_the_views_that_show_them_best():
    unseen = torch.inf
    costs = torch.tensor([[0.1, 0.1, 0.3], [0.2, unseen, 0.1], [unseen, unseen, unseen], [0.3, 0.2, 0.2]])
    assert elected(costs, 1, 4) == [0, 1]
    assert elected(costs, 2, 4) == [0, 1, 3], "two votes each: in their order"
    assert elected(costs, 2, 1) == elected(costs, 2, 4)[:1]
    assert elected(torch.empty(0, 3), 2, 4) == []


@pytest.mark.parametrize("field", [{"num_views": -1}, {"num_candidates": 0}, {"far_time_stamps": 0}])
def test_senseless_settings(field):
    with pytest.raises(InputError):
        WarpConfig(**field)
