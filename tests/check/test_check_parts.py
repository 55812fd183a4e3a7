"""Parts of the check against slow, obvious versions."""

import dataclasses

import numpy as np
import pytest
import torch

from faithfusion.check.agreement import Pair, View, correlation, near_view, resize_camera, visible_points
from faithfusion.check.check_clip import merge_cameras
from faithfusion.check.draw import DEPTH_RANGE_M, EDGES, depth_colors
from faithfusion.check.evidence import spread, without_shading
from faithfusion.check.findings import broken, count, name_frames, note, remark, verdict
from faithfusion.check.order import exchanged, moves_around
from faithfusion.check.readings import axis_rotation, focal_scaled, mounting, turned, with_motion
from faithfusion.check.scan_ground import find_ground
from faithfusion.check.scan_match import match_scans, upright_points
from faithfusion.data.lidar import project_points
from faithfusion.types import Camera


def test_verdict_names_the_first_fault_or_all_remarks() -> None:
    facts = [note("lidar", "a"), remark("camera 0", "b"), broken("poses", "c"), broken("boxes", "d")]
    assert verdict(facts) == "broken: poses: c (and 1 more fault)"
    assert verdict(facts[:2]) == "usable: 1 remark: camera 0: b"
    assert verdict(facts[:1]) == "ok: nothing wrong was found"
    assert count(2, "box") == "2 boxes" and count(1, "box") == "1 box"
    assert name_frames([3]) == "frame 3" and name_frames(range(6)) == "frames 0, 1, 2, 3 and 2 more"


def test_the_same_finding_of_several_cameras_is_one() -> None:
    merged = merge_cameras(
        [remark("camera 0", "a"), note("lidar", "b"), remark("camera 2", "a"), remark("camera 1", "c")]
    )
    assert [f.line() for f in merged] == ["remark: cameras 0, 2: a", "note: lidar: b", "remark: camera 1: c"]


def test_exchanged_frames_are_found_where_the_way_gets_shorter() -> None:
    rng = np.random.default_rng(0)
    places = np.cumsum(rng.uniform(0.5, 1.5, (12, 1, 3)), axis=0)
    assert not exchanged(places, 0.95).any()
    swapped = places.copy()
    swapped[[6, 7]] = swapped[[7, 6]]

    def way(order: list[int]) -> float:
        return sum(float(np.abs(swapped[a] - swapped[b]).mean()) for a, b in zip(order, order[1:], strict=False))

    slow = np.zeros(12, bool)
    for i in range(1, 10):
        if way([i - 1, i + 1, i, i + 2]) < 0.95 * way([i - 1, i, i + 1, i + 2]):
            slow[[i, i + 1]] = True
    assert np.array_equal(exchanged(swapped, 0.95), slow)
    assert np.flatnonzero(slow).tolist() == [6, 7]
    assert not exchanged(places[:3], 0.95).any()


def test_moves_around_looks_at_both_neighbours() -> None:
    assert moves_around(np.array([1.0, 0.0, 1.0]), 0.5).tolist() == [True, False, False, True]


@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_ground_is_found_under_walls_of_any_direction(tilt: float) -> None:
    rng = np.random.default_rng(0)
    road = np.c_[rng.uniform(-12, 12, (1500, 2)), rng.normal(0, 0.02, 1500)]
    walls = np.c_[rng.uniform(-12, 12, 1500), np.where(rng.random(1500) < 0.5, 6.0, -6.0), rng.uniform(0, 8, 1500)]
    rotation = np.array([[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]])
    points = (np.r_[road, walls] - [0, 0, 1.7]) @ rotation.T
    ground = find_ground(points)
    assert ground is not None
    np.testing.assert_allclose(ground.normal, rotation[:, 2], atol=0.02)
    assert ground.height_m == pytest.approx(1.7, abs=0.1)
    assert find_ground(points[:50]) is None


def test_scans_are_found_again_as_a_slow_search_does() -> None:
    rng = np.random.default_rng(1)
    posts = np.c_[rng.uniform(-20, 20, (120, 2)).repeat(10, 0), np.tile(np.linspace(0.0, 3.0, 10), 120)]
    pose = np.eye(4)
    pose[:3, 3] = [4.0, 0.3, 0.0]
    pose[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    there = (posts - pose[:3, 3]) @ pose[:3, :3]
    match = match_scans(posts, there, np.eye(4), pose, 0.3)
    assert match["given"] > 0.95 and max(match["still"], match["inverted"], match["reversed"]) < 0.4
    here, target = upright_points(posts), upright_points(there)
    here = here[:: max(1, len(here) // 1500)]
    slow = np.mean([np.linalg.norm(target - point, axis=1).min() < 0.3 for point in here])
    assert match["still"] == pytest.approx(slow)
    assert match_scans(posts[:50], there, np.eye(4), pose, 0.3) == {}


def camera(width: int = 60, height: int = 40) -> Camera:
    matrix = torch.tensor([[50.0, 0, width / 2], [0, 50.0, height / 2], [0, 0, 1.0]])
    return Camera(matrix, torch.eye(4), width, height)


def test_a_hidden_point_is_not_seen() -> None:
    points = torch.tensor([[0.0, 0, 5], [0.001, 0, 9], [1.0, 0, 9], [0, 0, -5], [50.0, 0, 5]])
    assert visible_points(points, camera())[1].tolist() == [True, False, True, False, False]


def wall_pair(shift_m: float = 0.6) -> tuple[Pair, torch.Tensor]:
    """A textured wall 6 m ahead, seen from two places; the texture is a function of the point."""
    generator = torch.Generator().manual_seed(0)
    x, y = (
        torch.rand(2, 4000, generator=generator) * torch.tensor([[8.0], [5.0]]) - torch.tensor([[4.0], [2.5]])
    ).unbind()
    points = torch.stack([x, y, torch.full_like(x, 6.0)], -1)
    views = []
    for offset in (0.0, shift_m):
        pose = torch.eye(4)
        pose[0, 3] = offset
        view = dataclasses.replace(camera(), world_from_camera=pose)
        v, u = torch.meshgrid(torch.arange(40) + 0.5, torch.arange(60) + 0.5, indexing="ij")
        at = offset + (u - 30) / 50 * 6.0
        views.append(View(torch.sin(5 * at) * torch.cos(4 * (v - 20) / 50 * 6.0), view, pose))
    return Pair(views[0], views[1], points), points


def test_correlation_is_pearsons_over_the_points_both_see() -> None:
    pair, points = wall_pair()
    found = correlation(pair)
    values: list[list[float]] = [[], []]
    for point in points:
        uv = [project_points(point[None], view.camera) for view in (pair.first, pair.second)]
        if all(bool(inside[0]) for _, _, inside in uv):
            for k, view in enumerate((pair.first, pair.second)):
                u, v = (uv[k][0][0] - 0.5).tolist()
                values[k].append(_bilinear(view.contrast.numpy(), u, v))
    slow = np.corrcoef(*values)[0, 1]
    assert found == pytest.approx(slow, abs=0.02)  # points that hide each other in one cell are left out
    assert found > 0.95
    assert correlation(with_motion(pair, torch.eye(4))) < 0.5
    assert correlation(turned({"yaw": 8.0, "pitch": 0.0, "roll": 0.0})(pair)) < found


def _bilinear(image: np.ndarray, u: float, v: float) -> float:
    u, v = min(max(u, 0), image.shape[1] - 1), min(max(v, 0), image.shape[0] - 1)
    x, y = min(int(u), image.shape[1] - 2), min(int(v), image.shape[0] - 2)
    a, b = u - x, v - y
    top, bottom = image[y, x : x + 2], image[y + 1, x : x + 2]
    return float((1 - b) * ((1 - a) * top[0] + a * top[1]) + b * ((1 - a) * bottom[0] + a * bottom[1]))


def test_too_few_points_or_no_contrast_say_nothing() -> None:
    pair, points = wall_pair()
    assert correlation(dataclasses.replace(pair, points_world=points[:50])) is None
    flat = dataclasses.replace(pair, first=dataclasses.replace(pair.first, contrast=torch.zeros(40, 60)))
    assert correlation(flat) is None


def test_points_far_outside_the_view_do_not_change_the_score() -> None:
    pair, points = wall_pair()
    outside = torch.tensor([[100.0, 0, 6.0], [0.0, 0.0, -6.0]])
    with_more = dataclasses.replace(pair, points_world=torch.cat([points, outside]))
    assert len(near_view(with_more).points_world) == len(points)
    assert correlation(near_view(with_more)) == correlation(pair)


def test_readings_turn_and_scale_both_views() -> None:
    pair, _ = wall_pair()
    assert torch.allclose(mounting(pair.second), torch.eye(4))
    scaled = focal_scaled(2.0)(pair)
    assert (
        float(scaled.second.camera.intrinsics[0, 0]) == 100.0 and float(scaled.second.camera.intrinsics[0, 2]) == 30.0
    )
    quarter = turned({"yaw": 90.0, "pitch": 0.0, "roll": 0.0})(pair).first.camera.world_from_camera
    assert torch.allclose(quarter[:3, 2], torch.tensor([1.0, 0, 0]), atol=1e-6)  # looks to the right
    assert torch.allclose(axis_rotation(2, np.pi / 2)[:3, 0], torch.tensor([0, 1.0, 0]), atol=1e-6)


def test_a_resized_camera_sees_the_same() -> None:
    big, small = camera(), resize_camera(camera(), 30)
    points = torch.tensor([[0.3, 0.2, 4.0], [-0.5, 0.1, 6.0]])
    assert (small.width, small.height) == (30, 20)
    assert torch.allclose(project_points(points, big)[0] / 2, project_points(points, small)[0])


def test_shading_is_taken_away_and_texture_kept() -> None:
    x = torch.linspace(0, 1, 64)
    ramp, stripes = x.expand(1, 48, 64), 0.2 * torch.sin(40 * x).expand(1, 48, 64)
    inner = (..., slice(12, -12), slice(12, -12))
    assert without_shading(ramp, 4)[inner].abs().max() < 0.01
    kept = without_shading(ramp + stripes, 4)[inner]
    assert float(torch.corrcoef(torch.stack([kept.flatten(), stripes[inner].flatten()]))[0, 1]) > 0.95


def test_spread_keeps_both_ends() -> None:
    assert spread(list(range(10)), 4) == [0, 3, 6, 9] and spread([1, 2], 4) == [1, 2]


def test_depth_colours_run_from_warm_to_cold_and_boxes_have_twelve_edges() -> None:
    near, far = depth_colors(np.array([DEPTH_RANGE_M[0], DEPTH_RANGE_M[1] - 30]))
    assert near[0] > near[2] and far[2] > far[0]
    assert len(set(EDGES)) == 12
