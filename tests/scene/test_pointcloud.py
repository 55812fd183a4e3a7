"""Accumulated LiDAR: who owns which point, thinning, local shape."""

from pathlib import Path

import torch
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.lidar import load_points_world
from faithfusion.scene.pointcloud import (
    accumulate_lidar,
    inside_box,
    local_shape,
    make_nodes,
    points_at,
    thin_to_budget,
)


def test_points_in_moving_boxes_go_to_their_node_and_come_back(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "clip"))
    nodes = make_nodes(clip)
    assert [node.track_id for node in nodes] == [track.track_id for track in clip.tracks if track.is_moving]
    cloud = accumulate_lidar(clip, [3], nodes)
    scan = load_points_world(clip, 3)
    members = cloud.node_ids == 1
    assert 0 < members.sum() < len(scan)
    pose = nodes[0].world_from_node[3]
    for point, member in zip(scan, members, strict=True):
        local = pose[:3, :3].T @ (point - pose[:3, 3])
        assert bool(inside_box(local[None], nodes[0].size_m)[0]) == bool(member)
    world, exists = points_at(cloud, nodes, 3)
    torch.testing.assert_close(world, scan, atol=1e-4, rtol=1e-4)
    assert exists.all()
    moved, _ = points_at(cloud, nodes, 5)
    assert (moved[~members] == scan[~members]).all() and (moved[members] - scan[members]).norm(dim=-1).min() > 1


def test_long_drives_keep_a_share_of_every_scan_and_all_of_the_vehicles(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "clip"))
    nodes = make_nodes(clip)
    everything = accumulate_lidar(clip, range(6), nodes)
    some = accumulate_lidar(clip, range(6), nodes, max_points=60)
    assert (some.node_ids == 0).sum() == 60 < (everything.node_ids == 0).sum()
    assert torch.equal(some.points[some.node_ids == 1], everything.points[everything.node_ids == 1])
    whole = {tuple(point) for point in everything.points.tolist()}
    assert all(tuple(point) in whole for point in some.points.tolist())
    again = accumulate_lidar(clip, range(6), nodes, max_points=60)
    assert torch.equal(again.points, some.points)


def test_road_under_a_car_is_not_its_own() -> None:
    size = torch.tensor([4.0, 2.0, 1.6])
    local = torch.tensor([[0.0, 0.0, -0.75], [0.0, 0.0, -0.5], [2.2, 0.0, 0.0], [2.4, 0.0, 0.0]])
    assert inside_box(local, size).tolist() == [False, True, True, False]


def test_thinning_keeps_the_budget_and_is_denser_near_the_cameras() -> None:
    points = torch.rand(20_000, 3) * torch.tensor([100.0, 20.0, 4.0])
    centres = torch.zeros(1, 3)
    chosen = thin_to_budget(points, centres, 1_000)
    assert 500 < len(chosen) <= 1_000 and len(chosen.unique()) == len(chosen)
    density = [((points[chosen, 0] >= a) & (points[chosen, 0] < a + 20)).sum() for a in (0, 80)]
    assert density[0] > 2 * density[1]
    assert torch.equal(thin_to_budget(points[:50], centres, 60), torch.arange(50))


def test_shape_of_a_plane_is_flat_along_its_normal() -> None:
    points = torch.rand(400, 3) * torch.tensor([4.0, 4.0, 0.0])
    turn = torch.linalg.qr(torch.randn(3, 3))[0]
    shape = local_shape(points @ turn.T, 8)
    normal = shape.axes[:, :, 0] @ turn[:, 2]
    assert normal.abs().min() > 0.999 and shape.flatness.max() < 1e-2
    torch.testing.assert_close(torch.linalg.det(shape.axes), torch.ones(400))
    distance = torch.cdist(points, points).sort(1).values[:, 1:4].mean(1)
    torch.testing.assert_close(shape.spacing_m, distance, atol=1e-4, rtol=1e-4)
