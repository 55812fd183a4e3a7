"""The seeded plan of a street: its course, lanes, markings, side streets, buildings, trees, cars and light.

Everything is placed in road coordinates (s, lateral): metres along the ego lane's centre line, metres to its left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from faithfusion.street.street_config import StreetConfig, driven_m
from faithfusion.utils.seed import make_generator

S_START = -60.0
SHORTEST_S_END = 240.0
ROOM_AHEAD_M = 120.0  # street left in front of the ego vehicle when the clip ends
ARROW_SPACING_M = 70.0
LANE_M = 3.3
CLEAR_M = 7.15  # no parked body, pole or trunk nearer to the ego lane's centre line than this


@dataclass(frozen=True)
class Centreline:
    """The ego lane's centre line, sampled every `step_m` metres of s."""

    s: np.ndarray  # [n]
    points: np.ndarray  # [n, 2] world x, y
    headings: np.ndarray  # [n] radians

    def at(self, s: np.ndarray | float, lateral: np.ndarray | float, z: np.ndarray | float = 0.0) -> np.ndarray:
        """World points [..., 3] of road coordinates (broadcast against each other)."""
        s, lateral, z = np.broadcast_arrays(s, lateral, z)
        heading = self.heading(s)
        x = np.interp(s, self.s, self.points[:, 0]) - np.sin(heading) * lateral
        y = np.interp(s, self.s, self.points[:, 1]) + np.cos(heading) * lateral
        return np.stack([x, y, z], -1)

    def heading(self, s: np.ndarray | float) -> np.ndarray | np.float64:
        """Direction of travel at s, radians in the world."""
        return np.interp(s, self.s, self.headings)


@dataclass(frozen=True)
class Marking:
    """A painted line along the road; `period_m` 0 = solid. Interrupted at `gaps` (ranges of s)."""

    lateral_m: float
    width_m: float
    dash_m: float = 0.0
    period_m: float = 0.0
    gaps: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Side:
    """One side of the road, distances from the ego lane's centre line. `sign` +1 = left."""

    sign: int
    parking: bool  # cycle lane and parked cars, else one more traffic lane
    kerb_m: float
    facade_m: float
    side_streets: tuple[tuple[float, float], ...]  # ranges of s


@dataclass(frozen=True)
class CarPlan:
    """A car: body kind, paint and its course; lateral is constant, s = s0 + speed * t."""

    kind: str
    paint: int
    s0: float
    lateral_m: float
    speed_m_s: float  # along +s; negative = oncoming
    yaw_offset: float  # radians, how carelessly it is parked; pi = faces -s


@dataclass(frozen=True)
class Light:
    """Sun and clouds; `to_sun` is a unit vector."""

    to_sun: np.ndarray
    sun_strength: float
    cloud_cover: float
    cloud_offset: tuple[float, float]


@dataclass(frozen=True)
class StreetPlan:
    """All that is needed to build and drive the street of one seed."""

    seed: int
    s_end: float  # the street runs from S_START to here
    centreline: Centreline
    sides: tuple[Side, Side]
    markings: tuple[Marking, ...]
    crossings: tuple[tuple[float, float], ...]  # zebra crossings, ranges of s
    arrows: tuple[tuple[float, float], ...]  # (s, lateral) of straight-on arrows
    cars: tuple[CarPlan, ...]
    light: Light


def numpy_stream(seed: int, *names: object) -> np.random.Generator:
    """A numpy generator fed by the project's named stream of the seed."""
    state = torch.randint(0, 2**62, (4,), generator=make_generator(seed, "street", *names))
    return np.random.default_rng(state.tolist())


def plan_street(config: StreetConfig) -> StreetPlan:
    """The street of `config.seed`, with traffic that leaves the ego vehicle's lane and its shifted lanes free."""
    rng = numpy_stream(config.seed, "plan")
    s_end = street_end(config)
    centreline = _plan_centreline(rng, s_end)
    sides = (_plan_side(rng, 1, s_end), _plan_side(rng, -1, s_end))
    crossings = _plan_crossings(rng, sides, s_end)
    markings = _plan_markings(sides, crossings)
    first_arrow = rng.uniform(14, 30)
    num_arrows = 2 + int((s_end - SHORTEST_S_END) // ARROW_SPACING_M)
    places = [first_arrow + ARROW_SPACING_M * k for k in range(num_arrows)]
    arrows = tuple((s, lateral) for s in places for lateral in (0.0, -LANE_M))
    parked = [car for side in sides for car in _park_cars(rng, side, s_end)]
    moving = _plan_traffic(numpy_stream(config.seed, "traffic"), sides, config)
    light = _plan_light(rng, centreline)
    return StreetPlan(config.seed, s_end, centreline, sides, markings, crossings, arrows, tuple(moving + parked), light)


def street_end(config: StreetConfig) -> float:
    """Where the street ends, metres of s: always some way ahead of the last ego pose. Drives of at most 120 m share
    one length, so that they are cuts of the same street."""
    return max(SHORTEST_S_END, driven_m(config) + ROOM_AHEAD_M)


def _plan_centreline(rng: np.random.Generator, s_end: float) -> Centreline:
    step_m = 0.5
    s = np.arange(S_START - 20, s_end + 40, step_m)
    bend = rng.uniform(0.0003, 0.0012) * rng.choice([-1, 1])  # 1/m: radius above 800 m
    wave, length, phase = rng.uniform(0.01, 0.035), rng.uniform(110, 180), rng.uniform(0, 2 * np.pi)
    headings = rng.uniform(-np.pi, np.pi) + bend * s + wave * np.sin(2 * np.pi * s / length + phase)
    steps = step_m * np.stack([np.cos(headings), np.sin(headings)], -1)
    points = rng.uniform(-40, 40, 2) + np.cumsum(steps, 0)
    return Centreline(s, points, headings)


def _plan_side(rng: np.random.Generator, sign: int, s_end: float) -> Side:
    parking = bool(rng.random() < 0.7)
    kerb_m = 9.5 if parking else 8.4
    facade_m = kerb_m + rng.uniform(2.8, 4.2)
    streets, s = [], rng.uniform(-25, 45)
    while s < s_end - 40:
        streets.append((s, s + rng.uniform(7.5, 10.0)))
        s += rng.uniform(55, 95)
    return Side(sign, parking, kerb_m, facade_m, tuple(streets))


def _plan_crossings(
    rng: np.random.Generator, sides: tuple[Side, Side], s_end: float
) -> tuple[tuple[float, float], ...]:
    starts = [side.side_streets[k][1] + 3.0 for side in sides for k in range(len(side.side_streets))]
    chosen = sorted(s for s in starts if 8 < s < s_end - 60 and rng.random() < 0.6)
    kept: list[float] = []
    for s in chosen:
        if not kept or s - kept[-1] > 30:
            kept.append(s)
    return tuple((s, s + 3.5) for s in kept)


def _plan_markings(sides: tuple[Side, Side], crossings: tuple[tuple[float, float], ...]) -> tuple[Marking, ...]:
    cleared = tuple((a - 0.6, b + 0.6) for a, b in crossings)
    half = LANE_M / 2
    lines = [Marking(half, 0.14, 3.0, 7.0, cleared), Marking(-half, 0.12, 3.0, 9.0, cleared)]
    for side in sides:
        edge = side.sign * (LANE_M + half)
        gaps = cleared + side.side_streets
        if side.parking:
            lines.append(Marking(edge, 0.18, gaps=gaps))
            lines.append(Marking(side.sign * (CLEAR_M - 0.1), 0.1, 0.8, 1.6, gaps))
        else:
            lines.append(Marking(edge, 0.12, 3.0, 9.0, cleared))
            lines.append(Marking(side.sign * (side.kerb_m - 0.3), 0.15, gaps=gaps))
    return tuple(lines)


def in_ranges(s: float, ranges: tuple[tuple[float, float], ...], margin: float = 0.0) -> bool:
    """Whether s lies in one of the ranges, widened by `margin`."""
    return any(a - margin <= s <= b + margin for a, b in ranges)


def _park_cars(rng: np.random.Generator, side: Side, s_end: float) -> list[CarPlan]:
    if not side.parking:
        return []
    cars, s = [], S_START + 5
    while s < s_end - 10:
        kind = rng.choice(["sedan", "hatch", "suv", "van"], p=[0.33, 0.33, 0.24, 0.1])
        if rng.random() < 0.72 and not in_ranges(s, side.side_streets, 6.5):
            facing = np.pi if (side.sign > 0) == (rng.random() < 0.9) else 0.0
            lateral = side.sign * (CLEAR_M + 1.12 + rng.uniform(0.0, 0.2))
            cars.append(CarPlan(str(kind), int(rng.integers(12)), s, lateral, 0.0, facing + rng.normal(0, 0.015)))
        s += rng.uniform(5.7, 7.5)
    return cars


def _plan_traffic(rng: np.random.Generator, sides: tuple[Side, Side], config: StreetConfig) -> list[CarPlan]:
    duration = config.num_frames / config.frame_rate_hz
    lanes = [(0.0, 1), (-LANE_M, 1), (LANE_M, -1)] + [(2 * LANE_M * s.sign, -s.sign) for s in sides if not s.parking]
    cars: list[CarPlan] = []
    for attempt in range(60 * config.num_moving_cars):
        if len(cars) == config.num_moving_cars:
            break
        lateral, direction = lanes[attempt % len(lanes)]
        speed = direction * config.speed_m_s * rng.uniform(0.85, 1.25)
        near = 14.0 if lateral == 0 else 9.0
        reach = 32.0 if direction > 0 else 60.0
        s0 = near + rng.uniform(0, reach) + (0.0 if direction > 0 else duration * (config.speed_m_s - speed))
        car = CarPlan(
            str(rng.choice(["sedan", "hatch", "suv", "van"])), int(rng.integers(12)), s0, lateral, speed,
            0.0 if direction > 0 else np.pi,
        )  # fmt: skip
        is_on_street = max(s0, s0 + speed * duration) < street_end(config) - 10
        if is_on_street and _leaves_room(car, cars, config.speed_m_s, duration):
            cars.append(car)
    return cars


def _leaves_room(car: CarPlan, others: list[CarPlan], ego_speed: float, duration: float) -> bool:
    """Whether the car stays ahead of the ego vehicle and of every shifted one, and clear of the cars of its lane."""
    times = np.linspace(0, duration, 30)
    ahead = car.s0 + (car.speed_m_s - ego_speed) * times
    if ahead.min() < (11.0 if car.lateral_m == 0 else 7.5):
        return False
    same = [other for other in others if abs(other.lateral_m - car.lateral_m) < 2.5]
    return all(np.abs(car.s0 - other.s0 + (car.speed_m_s - other.speed_m_s) * times).min() > 8.0 for other in same)


def _plan_light(rng: np.random.Generator, centreline: Centreline) -> Light:
    azimuth = centreline.heading(0.0) + rng.uniform(0.45, 1.25) * rng.choice([-1, 1]) + rng.choice([0.0, np.pi])
    elevation = rng.uniform(0.65, 1.05)
    to_sun = np.array(
        [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)], np.float32
    )
    return Light(to_sun, rng.uniform(2.0, 2.7), rng.uniform(0.25, 0.6), tuple(rng.uniform(-50, 50, 2)))
