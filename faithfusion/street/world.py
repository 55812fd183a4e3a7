"""A planned street as triangles: the part that stands still once, moving cars and people per time stamp.

Numbers: cars 0 .. C - 1 (C cars in the plan, those with boxes first), then people C .. C + P - 1, pedestrians before
cyclists. A pixel's instance id is the number + 1, 0 for the static world. In `instances_info.json` the number is the
key, and only those with boxes are listed.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from faithfusion.street.cars import car_patches, car_size
from faithfusion.street.crowd import plan_people
from faithfusion.street.facades import building_patches
from faithfusion.street.furniture import furniture_patches
from faithfusion.street.meshes import Mesh, Patch, merge
from faithfusion.street.placed_people import person_box, person_corners, person_frame, placed_person
from faithfusion.street.rig import car_pose, ego_poses
from faithfusion.street.road import road_patches
from faithfusion.street.room import PersonPlan
from faithfusion.street.street_config import StreetConfig
from faithfusion.street.street_plan import CarPlan, StreetPlan, plan_street
from faithfusion.street.tracer import TracedScene

LABEL_RANGE_M = 80.0  # objects farther from the ego vehicle carry no box, as in recorded data
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
class LabelledPerson:
    """A person with its number, and the time stamps at which it has a box."""

    number: int
    plan: PersonPlan
    frames: tuple[int, ...]


@dataclass(frozen=True)
class StreetWorld:
    """Everything a renderer of one street needs."""

    config: StreetConfig
    plan: StreetPlan
    world_from_ego: np.ndarray  # [T, 4, 4]
    cars: tuple[LabelledCar, ...]
    people: tuple[LabelledPerson, ...] = ()

    @functools.cached_property
    def standing(self) -> Mesh:
        """All that never moves; built when first asked for (seconds)."""
        patches = road_patches(self.plan) + building_patches(self.plan) + furniture_patches(self.plan)
        return merge(patches + [patch for car in self.cars if not car.is_moving for patch in placed_car(self, car, 0)])

    @functools.cached_property
    def _standing_scene(self) -> TracedScene:
        return TracedScene(self.standing)

    def scene_at(self, t: int) -> TracedScene:
        """The whole street at time stamp t."""
        moving = [patch for car in self.cars if car.is_moving for patch in placed_car(self, car, t)]
        time_s = t / self.config.frame_rate_hz
        for person in self.people:  # last: `people_velocities` counts from the end
            moving += placed_person(person.plan, time_s, person.number + 1)
        return TracedScene(merge(moving), self._standing_scene) if moving else self._standing_scene


def build_world(config: StreetConfig) -> StreetWorld:
    """Plans the street of `config`; its triangles are built on first use."""
    plan = plan_street(config)
    poses = ego_poses(config, plan)
    cars = _label(config, plan, poses)
    people = _label_people(config, plan_people(config, plan), poses, len(cars))
    return StreetWorld(config, plan, poses, cars, people)


def _label_people(
    config: StreetConfig, plans: tuple[PersonPlan, ...], poses: np.ndarray, first: int
) -> tuple[LabelledPerson, ...]:
    people = []
    for number, plan in enumerate(plans, first):
        at = plan.course.at(plan.distance(np.arange(config.num_frames) / config.frame_rate_hz))
        near = np.linalg.norm(at - poses[:, :2, 3], axis=1) < LABEL_RANGE_M
        people.append(LabelledPerson(number, plan, tuple(np.flatnonzero(near).tolist())))
    return tuple(people)


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


def person_track(world: StreetWorld, person: LabelledPerson) -> tuple[np.ndarray, np.ndarray]:
    """Poses [n, 4, 4] of the person's box at its frames, and its size [3]: one box for the whole clip, as tight as the
    swinging limbs allow."""
    times = np.array(person.frames) / world.config.frame_rate_hz
    centre, size = person_box(person.plan, times)
    poses = np.stack([person_frame(person.plan, float(time_s)) for time_s in times])
    poses[:, :3, 3] += poses[:, :3, :3] @ centre
    return poses, size


def people_velocities(world: StreetWorld, t: int) -> np.ndarray:
    """Velocity [F, 3, 3] in m/s of the corners of all people's triangles, the last F ones of `scene_at(t)`."""
    time_s, step_s = t / world.config.frame_rate_hz, 0.01

    def corners(at_s: float) -> np.ndarray:
        found = [person_corners(person.plan, at_s).astype(np.float64) for person in world.people]
        return np.concatenate(found) if found else np.zeros((0, 3, 3))

    return (corners(time_s + step_s) - corners(time_s - step_s)) / (2 * step_s)
