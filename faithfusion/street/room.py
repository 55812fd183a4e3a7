"""Tells what people keep clear of and how well the cameras see them, all in road coordinates (s, lateral)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faithfusion.street.cars import car_size
from faithfusion.street.courses import Course
from faithfusion.street.furniture import FURNITURE_REACH_M, FURNITURE_WIDTH_M, furniture_places
from faithfusion.street.street_config import CAMERA_YAWS_DEG, HFOV_DEG, StreetConfig
from faithfusion.street.street_plan import CLEAR_M, StreetPlan

CHECK_S = 0.1  # time between two checks
CAMERA_AHEAD_M = 1.5  # of the ego's origin
AHEAD_M, BEHIND_M = 11.0, 6.0  # within CLEAR_M of the lane's middle people stay so far from the ego's origin
HALF_WIDTH_M = 0.45  # kept free beside the middle of a person
HALF_LENGTH_M = {"Pedestrian": 0.5, "Cyclist": 1.0}


@dataclass(frozen=True, eq=False)
class PersonPlan:
    """A person's way: at time 0 at `start_m` of the course, then at constant speed. `look` seeds body and clothes."""

    class_name: str  # "Pedestrian" or "Cyclist"
    look: int
    course: Course
    start_m: float
    speed_m_s: float

    def distance(self, time_s: float | np.ndarray) -> float | np.ndarray:
        """Metres of the course at a time."""
        return self.start_m + self.speed_m_s * time_s


@dataclass(frozen=True)
class Surroundings:
    """What a person must keep clear of, over the times of the clip; road coordinates (s, lateral)."""

    config: StreetConfig
    plan: StreetPlan
    times: np.ndarray  # [n] seconds
    ego_s: np.ndarray  # [n]
    car_at: np.ndarray  # [n, cars, 2]
    car_half: np.ndarray  # [cars, 2]
    car_moves: np.ndarray  # [cars] bool
    furniture: dict[int, np.ndarray]  # by the sign of the side, metres of s


def surroundings_of(config: StreetConfig, plan: StreetPlan) -> Surroundings:
    """The traffic, the ego vehicle and the furniture of a clip."""
    times = np.arange(0.0, config.num_frames / config.frame_rate_hz + CHECK_S, CHECK_S)
    start, speed, lateral = (np.array([getattr(car, name) for car in plan.cars], float)
                             for name in ("s0", "speed_m_s", "lateral_m"))  # fmt: skip
    s = start + speed * times[:, None]
    half = np.array([car_size(car.kind)[:2] for car in plan.cars]).reshape(-1, 2) / 2
    return Surroundings(
        config, plan, times, config.speed_m_s * times,
        car_at=np.stack([s, np.broadcast_to(lateral, s.shape)], -1), car_half=half, car_moves=speed != 0,
        furniture={side.sign: furniture_places(plan, side) for side in plan.sides},
    )  # fmt: skip


def is_clear(around: Surroundings, person: PersonPlan, people: Sequence[PersonPlan]) -> bool:
    """Whether the person runs into nothing and nobody, and is out of the cameras' way when they come."""
    at = person.course.road_at(person.distance(around.times))  # [n, 2]
    half = HALF_WIDTH_M
    ahead = at[:, 0] - around.ego_s
    in_lanes = np.abs(at[:, 1]) < CLEAR_M + half - 0.1
    if (in_lanes & (ahead > -BEHIND_M) & (ahead < AHEAD_M)).any():
        return False
    apart = np.abs(around.car_at - at[:, None]) - around.car_half
    margin = np.where(around.car_moves, 1.0, 0.0) + HALF_LENGTH_M[person.class_name]
    if ((apart[..., 0] < margin) & (apart[..., 1] < half)).any():
        return False
    if _hits_furniture(around, at, half):
        return False
    reach = HALF_LENGTH_M[person.class_name] + 0.2
    for other in people:
        way = np.abs(other.course.road_at(other.distance(around.times)) - at)
        if ((way[:, 0] < reach + HALF_LENGTH_M[other.class_name]) & (way[:, 1] < half + 0.35)).any():
            return False
    return True


def _hits_furniture(around: Surroundings, at: np.ndarray, half: float) -> bool:
    for side in around.plan.sides:
        beside = side.sign * at[:, 1] - side.kerb_m
        in_strip = (beside > -half) & (beside < FURNITURE_WIDTH_M + 0.8 * half)
        places = around.furniture[side.sign]
        if len(places) and in_strip.any():
            near = np.abs(at[in_strip, 0][:, None] - places) < FURNITURE_REACH_M + half
            if near.any():
                return True
    return False


def seen_s(around: Surroundings, person: PersonPlan) -> float:
    """The number of seconds for which a camera sees the person large (4 to 18 m away; farther counts less) and not
    behind parked cars."""
    at = person.course.road_at(person.distance(around.times))
    way = at - np.stack([around.ego_s + CAMERA_AHEAD_M, np.zeros(len(at))], -1)
    range_m = np.linalg.norm(way, axis=1)
    angle = np.degrees(np.arctan2(way[:, 1], way[:, 0]))
    yaws = np.array([CAMERA_YAWS_DEG[name] for name in around.config.camera_names])
    in_view = (np.abs(angle[:, None] - yaws) < 0.5 * HFOV_DEG - 2).any(1)
    size = np.clip(18.0 / np.maximum(range_m, 4.0), 0.0, 1.0) ** 2 * (range_m > 4.0)
    return float((size * in_view * ~_hidden(around, way, at)).sum()) * CHECK_S


def _hidden(around: Surroundings, way: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Whether a car's rectangle lies between the camera and the person, [n] bool."""
    share = np.linspace(0.1, 0.97, 30)[:, None, None]
    points = (at - way)[None] + share * way  # [30, n, 2]
    hidden = np.zeros(len(at), bool)
    for car in range(around.car_at.shape[1]):
        hidden |= (np.abs(points - around.car_at[:, car]) < around.car_half[car]).all(-1).any(0)
    return hidden
