"""A planned street as triangles: the part that stands still once, moving cars per time stamp."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from faithfusion.data.street.cars import car_patches, car_size
from faithfusion.data.street.config import StreetConfig
from faithfusion.data.street.facades import building_patches
from faithfusion.data.street.furniture import furniture_patches
from faithfusion.data.street.layout import CarPlan, StreetPlan, plan_street
from faithfusion.data.street.meshes import Mesh, Patch, join, merge
from faithfusion.data.street.rig import car_pose, ego_poses
from faithfusion.data.street.road import road_patches
from faithfusion.data.street.tracer import TracedScene

LABEL_RANGE_M = 80.0  # cars farther from the ego vehicle carry no box, as in recorded data
MOVING_M_S = 1.0  # DriveStudio's threshold


@dataclass(frozen=True)
class LabelledCar:
    """A car with its number; `frames` are the time stamps at which it has a box (none: `number` counts on)."""

    number: int
    plan: CarPlan
    frames: tuple[int, ...]

    @property
    def is_moving(self) -> bool:
        """Whether it moves in the clip."""
        return abs(self.plan.speed_m_s) > MOVING_M_S


@dataclass(frozen=True)
class StreetWorld:
    """Everything a renderer of one street needs."""

    config: StreetConfig
    plan: StreetPlan
    world_from_ego: np.ndarray  # [T, 4, 4]
    cars: tuple[LabelledCar, ...]

    @functools.cached_property
    def standing(self) -> Mesh:
        """All that never moves; built when first asked for (seconds)."""
        patches = road_patches(self.plan) + building_patches(self.plan) + furniture_patches(self.plan)
        return merge(patches + [patch for car in self.cars if not car.is_moving for patch in placed_car(self, car, 0)])

    def scene_at(self, t: int) -> TracedScene:
        """The whole street at time stamp t."""
        moving = [patch for car in self.cars if car.is_moving for patch in placed_car(self, car, t)]
        return TracedScene(join(self.standing, merge(moving)) if moving else self.standing)


def build_world(config: StreetConfig) -> StreetWorld:
    """Plans the street of `config`; its triangles are built on first use."""
    plan = plan_street(config)
    poses = ego_poses(config, plan)
    return StreetWorld(config, plan, poses, _label(config, plan, poses))


def _label(config: StreetConfig, plan: StreetPlan, poses: np.ndarray) -> tuple[LabelledCar, ...]:
    frames = []
    for car in plan.cars:
        at = np.stack([car_pose(plan, car, t / config.frame_rate_hz)[:3, 3] for t in range(config.num_frames)])
        near = np.linalg.norm(at - poses[:, :3, 3], axis=1) < LABEL_RANGE_M
        frames.append(tuple(np.flatnonzero(near).tolist()))
    order = sorted(range(len(frames)), key=lambda k: not frames[k])  # cars with boxes first, else the plan's order
    return tuple(LabelledCar(number, plan.cars[k], frames[k]) for number, k in enumerate(order))


@functools.lru_cache(maxsize=64)
def _car_model(kind: str, paint: int) -> tuple[Patch, ...]:
    return tuple(car_patches(kind, paint))


def placed_car(world: StreetWorld, car: LabelledCar, t: int) -> list[Patch]:
    """The car's patches in the world at time stamp t, marked with instance number + 1."""
    pose = car_pose(world.plan, car.plan, t / world.config.frame_rate_hz)
    return [patch.moved(pose, car.number + 1) for patch in _car_model(car.plan.kind, car.plan.paint)]


def world_from_box(world: StreetWorld, car: LabelledCar, t: int) -> np.ndarray:
    """Pose [4, 4] of the car's box: x forward, y left, z up, origin at the box's centre."""
    pose = car_pose(world.plan, car.plan, t / world.config.frame_rate_hz)
    pose[2, 3] += 0.5 * car_size(car.plan.kind)[2]
    return pose
