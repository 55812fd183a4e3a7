"""People of the procedural street: gait, ways, boxes, masks, LiDAR."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from faithfusion.data.drive_reader import clip_from_dataset_world, read_drive
from faithfusion.data.images import load_dynamic_mask
from faithfusion.street.cars import car_size
from faithfusion.street.courses import Course, ground_height, plan_course
from faithfusion.street.crowd import plan_people
from faithfusion.street.gait import Gait, foot_at, step_length, walking_pose
from faithfusion.street.lidar_scan import lidar_scan
from faithfusion.street.placed_people import figure_of, person_corners, person_frame, person_points
from faithfusion.street.rig import car_pose, view_at
from faithfusion.street.road import KERB_HEIGHT_M
from faithfusion.street.skeleton import SIDES, Body
from faithfusion.street.street_config import StreetConfig
from faithfusion.street.street_plan import plan_street
from faithfusion.street.truth import load_truth
from faithfusion.street.world import StreetWorld, build_world, people_velocities, person_track
from faithfusion.street.writer import build_world_once, make_street
from faithfusion.utils.errors import InputError

CROWD = StreetConfig(seed=2, num_pedestrians=4, num_cyclists=2)
TINY = dataclasses.replace(
    CROWD, num_frames=3, width=96, height=64, camera_names=("0", "1"), lidar_beams=48, lidar_columns=720,
    lidar_noise_m=0.0, num_workers=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def world() -> StreetWorld:
    return build_world(CROWD)


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people") / "drive"
    make_street(TINY, root)
    return root


@pytest.fixture(scope="module")
def tiny_world(drive: Path) -> StreetWorld:
    return build_world_once(TINY)  # the one that `drive` was written from


@pytest.fixture(scope="module")
def over_a_kerb() -> Course:
    """A way along a pavement, round a corner, down the kerb and over the road."""
    plan = plan_street(StreetConfig(seed=2))
    side = plan.sides[0]
    s = side.side_streets[0][1] + 12.0
    return plan_course(plan, [(s - 6, side.kerb_m + 2), (s, side.kerb_m + 2), (s, side.kerb_m - 6)])


@pytest.mark.parametrize("speed_m_s", [1.0, 1.8])
def test_a_standing_foot_stays_where_it_is(speed_m_s: float) -> None:
    plan = plan_street(StreetConfig(seed=2))
    kerb_m, s = plan.sides[0].kerb_m, plan.sides[0].side_streets[0][1]
    course = plan_course(plan, [(s + 1, kerb_m + 1.0), (s + 6, kerb_m + 1.0), (s + 11, kerb_m + 2.5)])
    figure = figure_of("Pedestrian", 5, speed_m_s)
    step_s = 0.005
    at = np.arange(1.0, course.length_m - 1.0, speed_m_s * step_s)
    sole = {bone: np.unique(figure.patches[bone][0].corners.reshape(-1, 3), axis=0) for bone in
            ("foot_left", "toes_left")}  # fmt: skip
    poses = [figure.poses(course, float(distance)) for distance in at]
    points = np.stack([np.concatenate([sole[bone] @ pose[bone][:3, :3].T + pose[bone][:3, 3] for bone in sole])
                       for pose in poses])  # fmt: skip
    on_ground = np.abs(points[..., 2] - KERB_HEIGHT_M) < 2e-3
    touching = on_ground[1:] & on_ground[:-1]
    speeds = np.linalg.norm(np.diff(points, axis=0), axis=-1) / step_s
    assert touching.any(1).mean() > 0.5
    assert np.median(speeds[touching]) < 1e-6 and np.quantile(speeds[touching], 0.95) < 0.1
    assert speeds.max() > 2.5 * speed_m_s  # while it swings


def test_limbs_keep_their_lengths_and_joints_hold(over_a_kerb: Course) -> None:
    body = Body(1.72, 1.05)
    gait = Gait(step_length(body, 1.5))
    knees = []
    for distance in np.linspace(0.5, over_a_kerb.length_m - 0.5, 160):
        poses = walking_pose(body, gait, over_a_kerb, float(distance))
        joint = {bone: pose[:3, 3] for bone, pose in poses.items()}
        for side in SIDES:
            thigh = joint[f"thigh_{side}"] - joint[f"shin_{side}"]
            shin = joint[f"shin_{side}"] - joint[f"foot_{side}"]
            assert np.linalg.norm(thigh) == pytest.approx(body.thigh_m, abs=1e-6)
            assert np.linalg.norm(shin) == pytest.approx(body.shin_m, abs=1e-6)
            arm = joint[f"upper_arm_{side}"] - joint[f"forearm_{side}"]
            assert np.linalg.norm(arm) == pytest.approx(body.upper_arm_m, abs=1e-6)
            ball = joint[f"foot_{side}"] - joint[f"toes_{side}"]
            assert np.linalg.norm(ball) == pytest.approx(np.hypot(body.ball_m, body.ankle_m), abs=1e-6)
            hips = np.linalg.norm(joint[f"thigh_{side}"] - joint["pelvis"])
            assert hips == pytest.approx(0.05 * body.height_m * body.build, abs=1e-6)
            knees.append(np.arccos(np.clip(thigh @ shin / (body.thigh_m * body.shin_m), -1, 1)))
        for pose in poses.values():
            np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-9)
    assert min(knees) < 0.25 and 0.9 < max(knees) < 1.6  # nearly straight, and bent to swing through


def test_feet_alternate_and_keep_up_with_the_body() -> None:
    body, line = Body(1.8), np.linspace(-5, 40, 200)
    flat = np.stack([line, 0 * line], -1)
    course = Course(line, flat, flat, 0 * line, 0 * line)
    gait = Gait(step_length(body, 1.4))
    at = np.linspace(2, 30, 800)
    ankles = {side: np.array([foot_at(body, gait, course, float(d), side).ankle for d in at]) for side in SIDES}
    ahead = {side: ankles[side][:, 0] - at for side in SIDES}
    assert all(-0.75 * gait.step_m < way.min() < way.max() < 0.75 * gait.step_m for way in ahead.values())
    assert np.corrcoef(ahead["left"], ahead["right"])[0, 1] < -0.8
    heights = np.minimum(ankles["left"][:, 2], ankles["right"][:, 2])
    assert heights.max() < body.ankle_m + 0.06  # one foot is always down


def test_soles_stay_above_the_ground(world: StreetWorld) -> None:
    for person in world.people:
        for t in range(0, 49, 3):
            points = person_points(person.plan, t / 10)
            floor = min(0.0, float(person.plan.course.floor(person.plan.distance(t / 10))))
            assert -0.012 < points[:, 2].min() - floor < KERB_HEIGHT_M + 0.02


@pytest.mark.parametrize("kind", ["Pedestrian", "Cyclist"])
def test_boxes_hold_people_tightly_at_all_times(world: StreetWorld, kind: str) -> None:
    people = [person for person in world.people if person.plan.class_name == kind and len(person.frames) > 30]
    assert people
    for person in people:
        poses, size = person_track(world, person)
        corners = [person_corners(person.plan, t / 10).reshape(-1, 3) for t in person.frames[::5]]
        local = np.stack([(p - pose[:3, 3]) @ pose[:3, :3] for p, pose in zip(corners, poses[::5], strict=True)])
        assert (np.abs(local) <= size / 2 + 1e-4).all()
        between = []
        for time_s in np.arange(person.frames[0], person.frames[-1], 0.31) / 10:
            frame = person_frame(person.plan, float(time_s))
            between.append((person_points(person.plan, float(time_s)) - frame[:3, 3]) @ frame[:3, :3])
        between = np.stack(between).reshape(-1, 3)
        np.testing.assert_allclose(between.max(0) - between.min(0), size, atol=0.05)
        assert 1.5 < size[2] < 2.0 and size[0] < 2.2 and size[1] < 1.0


def test_ids_masks_and_boxes_tell_the_same(drive: Path) -> None:
    info = json.loads((drive / "instances" / "instances_info.json").read_text())
    human = {int(key) for key, entry in info.items() if entry["class_name"] in ("Pedestrian", "Cyclist")}
    assert sum(entry["class_name"] == "Pedestrian" for entry in info.values()) == 4
    assert len(human) == 6
    clip = read_drive(drive)
    assert {track.class_name for track in clip.tracks} == {"Vehicle", "Pedestrian", "Cyclist"}
    clip_from_dataset = clip_from_dataset_world(drive)
    seen = 0
    for t in range(3):
        truth = load_truth(drive, 0.0, "0", t)
        is_human = torch.isin(truth.instance_ids, torch.tensor([k + 1 for k in human]))
        vehicle, masked = (_mask(drive, kind, t) for kind in ("vehicle", "human"))
        assert torch.equal(masked, is_human) and not (masked & vehicle).any()
        assert torch.equal(load_dynamic_mask(clip.frame(t, "0")), masked | vehicle)
        for shift_m in (0.0, 3.0):
            view = load_truth(drive, shift_m, "0", t)
            assert torch.isin(view.instance_ids, torch.tensor([k + 1 for k in human])).any()
        camera = clip.frame(t, "0").camera
        v, u = torch.nonzero(is_human, as_tuple=True)
        rays = torch.stack([u + 0.5, v + 0.5, torch.ones(len(u))], -1) @ camera.intrinsics.inverse().T
        pose = camera.world_from_camera
        points = (truth.depth[v, u][:, None] * rays) @ pose[:3, :3].T + pose[:3, 3]
        for key in human:
            notes = info[str(key)]["frame_annotations"]
            box = clip_from_dataset @ np.array(notes["obj_to_world"][notes["frame_idx"].index(t)])
            mine = points[truth.instance_ids[v, u] == key + 1].numpy()
            local = (mine - box[:3, 3]) @ box[:3, :3]
            assert (np.abs(local) <= np.array(notes["box_size"][0]) / 2 + 0.02).all()
            seen += len(mine)
    assert seen > 30


def _mask(root: Path, kind: str, t: int) -> torch.Tensor:
    from PIL import Image

    return torch.from_numpy(np.asarray(Image.open(root / "dynamic_masks" / kind / f"{t:03d}_0.png")) > 0)


def test_lidar_points_move_with_the_limbs(tiny_world: StreetWorld) -> None:
    t, step_s = 1, 0.02
    scan = lidar_scan(tiny_world, tiny_world.scene_at(t), t)
    on_people = scan[(scan[:, 9] == 2) | (scan[:, 9] == 4)]
    assert len(on_people) > 30 and {2, 4} == set(on_people[:, 9].astype(int))
    pose = tiny_world.world_from_ego[t]
    on_people = on_people[::3]
    points = on_people[:, 3:6] @ pose[:3, :3].T + pose[:3, 3]
    flow = on_people[:, 6:9] @ pose[:3, :3].T
    now, later = (np.concatenate([person_corners(p.plan, t / 10 + d) for p in tiny_world.people]).astype(float)
                  for d in (0.0, step_s))  # fmt: skip
    assert _gaps(points, now).max() < 2e-3
    moved, left = _gaps(points + step_s * flow, later), _gaps(points, later)
    assert np.median(moved) < 2e-3 and moved.mean() < 0.2 * left.mean()
    assert people_velocities(tiny_world, t).shape == now.shape


def _gaps(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Distance of every point from the nearest triangle, one by one."""
    gaps = []
    for point in points:
        near = triangles[np.abs(triangles - point).max((1, 2)) < 0.6]
        closest = trimesh.triangles.closest_point(near, np.tile(point, (len(near), 1)))
        gaps.append(np.linalg.norm(closest - point, axis=1).min())
    return np.array(gaps)


def test_people_cast_shadows(tiny_world: StreetWorld) -> None:
    to_sun = tiny_world.plan.light.to_sun.astype(float)
    scene = tiny_world.scene_at(0)
    shaded = []
    for person in tiny_world.people:
        chest = person_frame(person.plan, 0.0)[:3, 3] + [0.0, 0.0, 1.2]
        ground = chest - to_sun * (chest[2] - 0.15) / to_sun[2]
        shaded.append(not scene.is_free(ground[None], to_sun[None], 3.0 / to_sun[2])[0])
        assert scene.is_free(chest[None] + [0, 0, 1.0], np.array([[0.0, 0.0, 1.0]]), 0.3)[0]
    assert np.mean(shaded) > 0.8


@pytest.mark.parametrize("config", [StreetConfig(seed=seed) for seed in (0, 2)] + [
    StreetConfig(seed=3, num_frames=120, speed_m_s=9.9)], ids=lambda c: f"{c.seed}-{c.num_frames}")  # fmt: skip
def test_people_keep_out_of_the_way(config: StreetConfig) -> None:
    config = dataclasses.replace(config, num_pedestrians=6, num_cyclists=3, num_moving_cars=5)
    world = build_world(config)
    assert [person.plan.class_name for person in world.people] == ["Pedestrian"] * 6 + ["Cyclist"] * 3
    for t in range(0, config.num_frames, 8):
        bodies = [person_points(person.plan, t / 10) for person in world.people]
        for body, person in zip(bodies, world.people, strict=True):
            for shift_m in np.linspace(-6.5, 6.5, 14):
                centre = view_at(config, world.world_from_ego[t], "0", shift_m).world_from_camera[:3, 3]
                assert np.linalg.norm((body - centre)[:, :2], axis=1).min() > 0.5, (person, t)
            for car in world.cars:
                in_car = np.linalg.inv(car_pose(world.plan, car.plan, t / 10))
                local = body @ in_car[:3, :3].T + in_car[:3, 3]
                assert (np.abs(local[:, :2]) > np.array(car_size(car.plan.kind))[:2] / 2).any(1).all()
            for other in bodies:
                if other is not body:
                    middle = 0.5 * (other.max(0) + other.min(0))
                    assert np.linalg.norm((body - middle)[:, :2], axis=1).min() > 0.3


def test_people_touch_nothing_that_stands(tiny_world: StreetWorld) -> None:
    world = build_world(dataclasses.replace(CROWD, num_pedestrians=6))
    standing = tiny_world.standing.corners.reshape(-1, 3)
    for person in world.people:
        for t in range(0, 49, 8):
            frame = person_frame(person.plan, t / 10)
            local = (standing - frame[:3, 3]) @ frame[:3, :3]
            core = (np.abs(local[:, :2]) < 0.25).all(1) & (local[:, 2] > 0.3) & (local[:, 2] < 1.4)
            assert not core.any()


def test_some_cross_the_road_and_the_rest_keeps_to_the_pavement(world: StreetWorld) -> None:
    crossing = 0
    for person in world.people:
        road = person.plan.course.road_at(person.plan.distance(np.arange(50) / 10))
        if person.plan.class_name == "Cyclist":
            assert (np.abs(road[:, 1]) < 8.0).all() and np.ptp(road[:, 1]) < 0.01
            continue
        crossing += np.ptp(road[:, 1]) > 2
        on_road = np.abs(road[:, 1]) < min(side.kerb_m for side in world.plan.sides) - 0.5
        in_zebra = [any(a <= s <= b for a, b in world.plan.crossings) for s in road[:, 0]]
        assert np.array(in_zebra)[on_road].all()
        speed = np.linalg.norm(np.diff(person.plan.course.at(person.plan.distance(np.arange(50) / 10)), axis=0), axis=1)
        assert speed.max() < 0.181 and speed.mean() > 0.095
    assert crossing >= 1


def test_ground_has_kerbs() -> None:
    plan = plan_street(StreetConfig(seed=2))
    side = plan.sides[0]
    inside, mouth = side.side_streets[0][1] + 2, np.mean(side.side_streets[0])
    kerb = side.sign * side.kerb_m
    s = np.array([inside, inside, mouth])
    heights = ground_height(plan, s, np.array([0.99 * kerb, 1.01 * kerb, 1.01 * kerb]))
    np.testing.assert_allclose(heights, [0.0, KERB_HEIGHT_M, 0.0])


def test_a_street_without_people_has_the_facts_it_always_had(drive: Path, tmp_path: Path) -> None:
    facts = json.loads((drive / "street.json").read_text())
    assert facts["config"]["num_pedestrians"] == 4
    assert (facts["config"]["hfov_deg"], facts["config"]["lidar_range_m"]) == (68.0, 80.0)  # options once
    with pytest.raises(InputError, match="another configuration"):
        make_street(dataclasses.replace(TINY, num_pedestrians=0), drive)
    del facts["config"]["num_pedestrians"], facts["config"]["num_cyclists"]
    (tmp_path / "street.json").write_text(json.dumps(facts))  # as an earlier version wrote it
    make_street(dataclasses.replace(TINY, num_pedestrians=0, num_cyclists=0), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["street.json"]


def test_the_same_seed_plans_the_same_people() -> None:
    config = dataclasses.replace(CROWD, num_pedestrians=3, num_cyclists=1)
    once, again = (plan_people(config, plan_street(config)) for _ in range(2))
    assert [(p.look, p.start_m, p.speed_m_s) for p in once] == [(p.look, p.start_m, p.speed_m_s) for p in again]
    assert len({p.look for p in once}) == 4
