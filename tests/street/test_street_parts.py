"""Parts of the procedural street: filtered patterns, tracing, plan, poses, cars."""

import dataclasses

import numpy as np
import pytest
from reference.street_patterns import box_average, first_hit

from faithfusion.data.layouts import OPENCV2DATASET
from faithfusion.street.cars import SHAPES, car_patches, car_size
from faithfusion.street.meshes import Material, Surface, box, merge
from faithfusion.street.rig import car_pose, ego_from_camera, ego_poses, view_at
from faithfusion.street.street_config import StreetConfig, camera_shifts_m, check_config
from faithfusion.street.street_plan import CLEAR_M, plan_street
from faithfusion.street.textures import fractal, interval, pulses
from faithfusion.street.tracer import TracedScene, sample_offsets
from faithfusion.utils.errors import InputError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("width", [0.01, 0.3, 1.7, 9.0])
def test_stripes_are_the_average_over_the_pixel(width: float) -> None:
    x, footprint = RNG.uniform(-20, 20, 200), np.full(200, width)
    twin = box_average(lambda at: (at % 1.3 < 0.4).astype(float), x, footprint)
    np.testing.assert_allclose(pulses(x, 1.3, 0.4, footprint), twin, atol=2e-3)


@pytest.mark.parametrize("width", [0.01, 0.3, 4.0])
def test_interval_is_the_average_over_the_pixel(width: float) -> None:
    x, footprint = RNG.uniform(-2, 2, 200), np.full(200, width)
    twin = box_average(lambda at: ((at > -0.5) & (at < 0.8)).astype(float), x, footprint)
    np.testing.assert_allclose(interval(x, -0.5, 0.8, footprint), twin, atol=2e-3)


def test_noise_fades_to_its_mean_when_the_pixel_is_wide() -> None:
    x, y = RNG.uniform(0, 50, (2, 4000)).astype(np.float32)
    sharp = fractal(x, y, 0.5, np.zeros_like(x))
    assert sharp.std() > 0.15
    assert np.abs(fractal(x, y, 0.5, np.full_like(x, 0.6))).max() == 0


def test_first_hits_match_the_slow_twin() -> None:
    axes = np.eye(3)
    plain = Surface(Material.PLAIN)
    solids = [box(RNG.uniform(-2, 2, 3), RNG.uniform(0.2, 0.6, 3), axes, plain)[0] for _ in range(4)]
    mesh = merge(solids)
    origins = RNG.uniform(-4, 4, (80, 3))
    directions = RNG.uniform(-2, 2, (80, 3)) - origins
    hits = TracedScene(mesh).first_hits(origins, directions)
    twins = [first_hit(mesh.corners, o, d) for o, d in zip(origins, directions, strict=True)]
    assert (hits.face >= 0).sum() > 5
    np.testing.assert_array_equal(hits.face >= 0, [face >= 0 for face, _ in twins])
    np.testing.assert_allclose(hits.distance, [distance for _, distance in twins], rtol=1e-4, atol=1e-5)


def test_gradients_of_texture_coordinates_are_their_change_in_the_world() -> None:
    mesh = merge(car_patches("sedan", 0))
    edges = mesh.corners[:, 1] - mesh.corners[:, 0]
    change = mesh.coords[:, 1] - mesh.coords[:, 0]
    area = np.linalg.norm(np.cross(edges, mesh.corners[:, 2] - mesh.corners[:, 0]), axis=1)
    predicted = np.einsum("fkd,fd->fk", mesh.gradients, edges)
    np.testing.assert_allclose(predicted[area > 1e-4], change[area > 1e-4], atol=2e-3)


@pytest.mark.parametrize("count", [1, 2, 4, 9, 16])
def test_every_row_and_column_of_a_pixel_has_a_sample(count: int) -> None:
    offsets = sample_offsets(count)
    assert sorted(np.floor(offsets[:, 0] * count)) == list(range(count))
    assert ((offsets > 0) & (offsets < 1)).all()
    assert len(np.unique(offsets[:, 1])) == count


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_car_fills_its_box_and_stays_inside(kind: str) -> None:
    corners = merge(car_patches(kind, 3)).corners.reshape(-1, 3)
    length, width, height = car_size(kind)
    np.testing.assert_allclose(np.abs(corners).max(0)[:2], [length / 2, width / 2], atol=0.02)
    assert corners[:, 2].min() > -0.01 and abs(corners[:, 2].max() - height) < 0.02


@pytest.mark.parametrize(("seed", "num_frames"), [*((seed, 49) for seed in range(12)), (2, 200), (5, 200)])
def test_every_shifted_camera_keeps_clear_of_cars_and_walls(seed: int, num_frames: int) -> None:
    config = StreetConfig(seed=seed, num_frames=num_frames)
    plan = plan_street(config)
    poses = ego_poses(config, plan)
    assert min(side.facade_m for side in plan.sides) > 6.5 + 1.0
    for t in range(0, num_frames, 4 if num_frames < 100 else 8):
        for car in plan.cars:
            box_from_world = np.linalg.inv(car_pose(plan, car, t / config.frame_rate_hz))
            half = np.array(car_size(car.kind))[:2] / 2
            for shift_m in np.linspace(-6.5, 6.5, 14):
                centre = view_at(config, poses[t], "0", shift_m).world_from_camera[:, 3]
                outside = np.abs((box_from_world @ centre)[:2]) - half
                assert outside.max() > 0.3, f"camera at {shift_m} m is inside {car} at frame {t}"


@pytest.mark.parametrize("seed", range(6))
def test_cars_do_not_run_into_each_other(seed: int) -> None:
    config = StreetConfig(seed=seed, num_moving_cars=6)
    plan = plan_street(config)
    moving = [car for car in plan.cars if car.speed_m_s != 0]
    assert moving
    for time_s in np.linspace(0, 5, 11):
        for i, a in enumerate(plan.cars):
            for b in plan.cars[:i]:
                along = abs(a.s0 + a.speed_m_s * time_s - b.s0 - b.speed_m_s * time_s)
                assert along > 4.8 or abs(a.lateral_m - b.lateral_m) > 1.95
    assert all(abs(car.lateral_m) > CLEAR_M for car in plan.cars if car.speed_m_s == 0)


def test_ego_drives_a_curved_path_at_the_asked_speed() -> None:
    config = StreetConfig(seed=3)
    poses = ego_poses(config, plan_street(config))
    steps = np.diff(poses[:, :3, 3], axis=0)
    speed = np.linalg.norm(steps, axis=1) * config.frame_rate_hz
    assert abs(speed.mean() - config.speed_m_s) < 0.8 and speed.min() > 6
    forward = (steps / np.linalg.norm(steps, axis=1, keepdims=True) * poses[:-1, :3, 0]).sum(1)
    assert forward.min() > 0.9995  # the nose points along the path
    lateral = (poses[:, :3, 3] - poses[0, :3, 3]) @ poses[0, :3, 1]
    assert lateral.std() > 0.02


def test_shift_is_left_along_the_ego_and_turns_nothing() -> None:
    config = StreetConfig(seed=1)
    pose = ego_poses(config, plan_street(config))[5]
    centred, left = view_at(config, pose, "1"), view_at(config, pose, "1", 3.0)
    np.testing.assert_allclose(left.world_from_camera[:3, 3] - centred.world_from_camera[:3, 3], 3 * pose[:3, 1])
    np.testing.assert_array_equal(left.world_from_camera[:3, :3], centred.world_from_camera[:3, :3])
    optical_axis = (pose @ ego_from_camera("1") @ OPENCV2DATASET)[:3, 2]
    assert optical_axis @ pose[:3, 1] == pytest.approx(np.sin(np.radians(45)))  # camera 1 looks to the front left


@pytest.mark.parametrize(
    "change",
    [{"num_frames": 0}, {"shifts_m": (8.0,)}, {"shifts_m": (float("nan"),)}, {"camera_names": ("7",)},
     {"truth_cameras": ("1",), "camera_names": ("0",)}, {"speed_m_s": -1.0}, {"num_side_shifts": 2},
     {"num_frames": 1000, "speed_m_s": 1.0}, {"num_frames": 400, "speed_m_s": 15.0}, {"frame_rate_hz": 0.0},
     {"num_pedestrians": -1}, {"num_cyclists": 101}],
)  # fmt: skip
def test_impossible_configurations_are_refused(change: dict) -> None:
    check_config(StreetConfig(num_frames=400, speed_m_s=10.0))
    check_config(StreetConfig(num_frames=999, speed_m_s=5.0))
    with pytest.raises(InputError):
        check_config(StreetConfig(**change))


def test_side_cameras_get_the_first_shifts_only() -> None:
    config = StreetConfig(shifts_m=(5.0, -2.0, 1.234), truth_cameras=("0", "2"), num_side_shifts=1)
    assert camera_shifts_m(config, "0") == (5.0, -2.0, 1.23)
    assert camera_shifts_m(config, "2") == (5.0,) and camera_shifts_m(config, "1") == ()
    everywhere = dataclasses.replace(config, num_side_shifts=0)
    assert camera_shifts_m(everywhere, "2") == camera_shifts_m(config, "0")
