"""The procedural street as a recorded drive: layout, truth, LiDAR, boxes, steadiness."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from run_command import run_command

from faithfusion.cli import make_street as make_street_tool
from faithfusion.data.drive_reader import clip_from_dataset_world, read_drive
from faithfusion.data.images import load_dynamic_mask, load_image, load_sky_mask
from faithfusion.data.lidar import load_points_world, project_points
from faithfusion.data.trajectories import shift_camera
from faithfusion.street.rig import View, view_at
from faithfusion.street.sky_radiance import tone_map
from faithfusion.street.street_config import StreetConfig
from faithfusion.street.tracer import pixel_rays, reconstruct, render_view, sample_offsets, shade
from faithfusion.street.truth import has_truth, load_truth, true_shifts, truth_paths
from faithfusion.street.world import StreetWorld, build_world
from faithfusion.street.writer import make_street
from faithfusion.types import Camera
from faithfusion.utils.errors import InputError

TINY = StreetConfig(
    seed=1, num_frames=3, width=64, height=48, camera_names=("0", "2"), shifts_m=(3.0,), lidar_beams=32,
    lidar_columns=180, num_workers=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("street") / "drive"
    make_street(TINY, root)
    return root


@pytest.fixture(scope="module")
def world() -> StreetWorld:
    return build_world(TINY)


def true_camera(root: Path, t: int, shift_m: float) -> Camera:
    clip = read_drive(root)
    return shift_camera(clip.frame(t, "0").camera, clip.world_from_ego[t], shift_m)


def unproject(depth: torch.Tensor, camera: Camera) -> torch.Tensor:
    """World points [H, W, 3] of a depth map."""
    v, u = torch.meshgrid(torch.arange(camera.height) + 0.5, torch.arange(camera.width) + 0.5, indexing="ij")
    rays = torch.stack([u, v, torch.ones_like(u)], -1) @ camera.intrinsics.inverse().T
    return depth[..., None] * rays @ camera.world_from_camera[:3, :3].T + camera.world_from_camera[:3, 3]


def test_reader_finds_a_whole_drive(street: Path) -> None:
    clip = read_drive(street)
    assert (clip.num_frames, clip.camera_names) == (3, ("0", "2"))
    assert {"lidar", "boxes", "sky masks", "dynamic masks"}.isdisjoint(clip.missing)
    frame = clip.frame(1, "2")
    image, sky, dynamic = load_image(frame), load_sky_mask(frame), load_dynamic_mask(frame)
    assert image.shape == (48, 64, 3) and sky.shape == dynamic.shape == (48, 64)
    assert 0.02 < sky.float().mean() < 0.6 and image.std() > 0.1
    assert any(track.is_moving for track in clip.tracks) and any(not track.is_moving for track in clip.tracks)


def test_recorded_image_is_the_truth_at_the_driven_lane(street: Path) -> None:
    truth = load_truth(street, 0.0, "0", 2)
    frame = read_drive(street).frame(2, "0")
    assert (load_image(frame) - truth.color).abs().mean() < 0.02  # JPEG
    assert torch.equal(load_sky_mask(frame), truth.sky)
    assert torch.equal(truth.sky, truth.depth == 0)


def test_same_seed_gives_the_same_bytes_for_any_number_of_workers(street: Path, tmp_path: Path) -> None:
    make_street(dataclasses.replace(TINY, num_workers=2), tmp_path / "again")
    files = sorted(path.relative_to(street) for path in street.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file())
    assert all((street / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in files)


def test_lidar_lies_on_the_true_depth(street: Path) -> None:
    clip = read_drive(street)
    points = load_points_world(clip, 1)
    assert len(points) > 0.4 * 32 * 180
    depth = load_truth(street, 0.0, "0", 1).depth
    uv, z, inside = project_points(points, clip.frame(1, "0").camera)
    u, v = uv[inside].long().unbind(-1)
    difference = (depth[v, u] - z[inside]).abs() / z[inside]
    assert inside.sum() > 300
    assert difference.median() < 0.02  # a coarse pixel covers a slanted patch of road
    assert (difference < 0.1).float().mean() > 0.85  # the rest is hidden from the camera or at edges


def test_a_true_pixel_looks_the_same_from_the_next_lane(street: Path) -> None:
    here, there = load_truth(street, 0.0, "0", 1), load_truth(street, 3.0, "0", 1)
    points = unproject(here.depth, true_camera(street, 1, 0.0))[~here.sky]
    uv, z, inside = project_points(points, true_camera(street, 1, 3.0))
    u, v = uv[inside].long().unbind(-1)
    visible = (there.depth[v, u] - z[inside]).abs() < 0.03 * z[inside]
    assert visible.float().mean() > 0.6
    error = (here.color[~here.sky][inside] - there.color[v, u]).abs().mean(-1)
    assert error[visible].median() < 0.03
    wrong_way, _, still_inside = project_points(points, true_camera(street, 1, -3.0))
    at = wrong_way[still_inside].long()
    wrong = (here.color[~here.sky][still_inside] - there.color[at[:, 1], at[:, 0]]).abs().mean(-1)
    assert wrong.median() > 1.5 * error[visible].median()


def test_boxes_hold_their_cars(street: Path) -> None:
    info = json.loads((street / "instances" / "instances_info.json").read_text())
    listed = json.loads((street / "instances" / "frame_instances.json").read_text())
    clip_from_dataset = torch.from_numpy(clip_from_dataset_world(street)).float()
    seen = 0
    for t in range(3):
        view = load_truth(street, 0.0, "0", t)
        points = unproject(view.depth, true_camera(street, t, 0.0))
        for key in listed[str(t)]:
            notes = info[str(key)]["frame_annotations"]
            at = notes["frame_idx"].index(t)
            box_from_world = torch.linalg.inv(clip_from_dataset @ torch.tensor(notes["obj_to_world"][at]))
            mine = points[view.instance_ids == key + 1]
            local = mine @ box_from_world[:3, :3].T + box_from_world[:3, 3]
            assert (local.abs() <= torch.tensor(notes["box_size"][at]) / 2 + 0.05).all()
            seen += len(mine)
    assert seen > 50


def test_moving_cars_are_masked_and_flow(street: Path) -> None:
    clip = read_drive(street)
    moving = {int(track.track_id.split("_")[-1]) for track in clip.tracks if track.is_moving or _speed(track) > 1}
    truth = load_truth(street, 0.0, "0", 1)
    expected = torch.isin(truth.instance_ids, torch.tensor([k + 1 for k in moving]))
    assert expected.any()
    assert torch.equal(load_dynamic_mask(clip.frame(1, "0")), expected)
    scan = np.fromfile(street / "lidar" / "001.bin", np.float32).reshape(-1, 14)
    speeds = np.linalg.norm(scan[:, 6:9], axis=1)
    assert speeds.max() > 3 and (scan[speeds > 0, 9] == 1).all()
    ground = scan[scan[:, 10] == 1]
    assert np.abs(ground[:, 5]).max() < 0.25 and len(ground) > 500


def _speed(track: object) -> float:
    centres = track.world_from_box[:, :3, 3]
    return float((centres[-1] - centres[0]).norm() / (0.1 * max(len(centres) - 1, 1)))


def test_lanes_lie_on_paint(street: Path) -> None:
    lanes = json.loads((street / "lanes.json").read_text())
    assert {lane["kind"] for lane in lanes} == {"solid", "dashed"}
    solid = next(lane for lane in lanes if lane["kind"] == "solid")
    world_points = torch.tensor(solid["points_world"])[torch.tensor(solid["is_painted"])]
    to_clip = torch.from_numpy(clip_from_dataset_world(street)).float()
    points = world_points @ to_clip[:3, :3].T + to_clip[:3, 3]
    truth = load_truth(street, 0.0, "0", 1)
    uv, z, inside = project_points(points, true_camera(street, 1, 0.0))
    u, v = uv[inside].long().unbind(-1)
    on_road = (truth.depth[v, u] - z[inside]).abs() < 0.1 * z[inside]
    near = on_road & (z[inside] < 20)
    beside = truth.color[v, (u + 4).clamp_max(63)]
    assert near.sum() >= 3
    assert (truth.color[v, u][near].mean() - beside[near].mean()) > 0.03


def test_truth_is_found_and_refused(street: Path, tmp_path: Path) -> None:
    assert true_shifts(street) == (0.0, 3.0) and has_truth(street, 3) and not has_truth(street, -3.0)
    assert true_shifts(tmp_path) == ()
    with pytest.raises(InputError, match="one of the shifts"):
        load_truth(street, -3.0, "0", 0)
    with pytest.raises(InputError, match="no such file"):
        load_truth(street, 3.0, "0", 99)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_damaged_truth_is_refused(street: Path, part: int) -> None:
    path = truth_paths(street, 3.0, "0", 2)[part]
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=path.name):
            load_truth(street, 3.0, "0", 2)
    finally:
        path.write_bytes(whole)


def test_nothing_shimmers_between_sub_pixel_moves(world: StreetWorld) -> None:
    scene, base = world.scene_at(0), view_at(world.config, world.world_from_ego[0], "0")

    def moved(pixels: float) -> View:
        intrinsics = base.intrinsics.copy()
        intrinsics[0, 2] += pixels
        return dataclasses.replace(base, intrinsics=intrinsics)

    def unfiltered(view: View, count: int) -> np.ndarray:
        """Point sampled textures; with many samples the slow twin of our filtered ones."""
        radiance = shade(scene, world.plan, *pixel_rays(view, sample_offsets(count)), 1e-7, count)
        samples = tone_map(radiance).reshape(view.height, view.width, count, 3)
        return reconstruct(samples, sample_offsets(count))

    moves = [moved(0.25 * k) for k in range(4)]
    ours = np.stack([render_view(scene, world.plan, view, 4).color for view in moves])
    rough, exact = (np.stack([unfiltered(view, count) for view in moves]) for count in (1, 36))
    depth = render_view(scene, world.plan, base, 1).depth
    far = (depth > 15) & (depth < 120)
    assert far.sum() > 100
    flicker, rough_flicker = (
        np.abs(np.diff(clip, axis=0) - np.diff(exact, axis=0))[:, far].mean() for clip in (ours, rough)
    )
    assert flicker < 0.03 and flicker < 0.5 * rough_flicker
    assert np.abs(ours - exact)[:, far].mean() < 0.04


def test_a_finished_street_is_kept_and_another_refused(street: Path, tmp_path: Path) -> None:
    before = (street / "images" / "000_0.jpg").stat().st_mtime_ns
    make_street(dataclasses.replace(TINY, num_workers=2), street)
    assert (street / "images" / "000_0.jpg").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="another configuration"):
        make_street(dataclasses.replace(TINY, seed=2), street)
    (tmp_path / "mine.txt").write_text("not a street")
    with pytest.raises(InputError, match="not a finished street"):
        make_street(TINY, tmp_path)
    assert (tmp_path / "mine.txt").exists()


def test_tool_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    options = ["--out", tmp_path / "s", "--frames", "2", "--shifts_m", "-3", "9"]
    result = run_command(make_street_tool.main, *options, cwd=tmp_path)
    assert result.returncode == 2 and len(result.stderr.strip().splitlines()) == 1
    assert "street.shifts_m: 9.0" in result.stderr and not (tmp_path / "s").exists()
