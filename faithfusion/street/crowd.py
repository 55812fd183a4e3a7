"""Plans who walks and rides where: on pavements, over zebra crossings, on cycle lanes, never in the cameras' way.

People are drawn one after the other. Each is the best seen of a few draws that keep clear of the ego vehicle and of
every shifted one, of cars, of what stands on the pavement, and of each other, all through the clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from faithfusion.street.courses import plan_course
from faithfusion.street.room import AHEAD_M, PersonPlan, Surroundings, is_clear, seen_s, surroundings_of
from faithfusion.street.street_config import StreetConfig, driven_m
from faithfusion.street.street_plan import CLEAR_M, LANE_M, S_START, Side, StreetPlan, numpy_stream

DRAWS, WANTED = 400, 12  # at most so many draws per person, until so many are possible
LEAST_SEEN_S, LEAST_SEEN_SHARE = 0.8, 0.16  # of the clip, the smaller; or who should cross walks along the road
WALK_M_S, RIDE_M_S = (1.0, 1.8), (3.0, 6.0)


@dataclass(frozen=True)
class Wish:
    """What a person is to do: when to be seen (seconds), how fast, in which direction of s (cyclists keep to
    the traffic's), and on which side first."""

    moment_s: tuple[float, float]
    speed_m_s: float
    direction: int
    side: int  # index


def plan_people(config: StreetConfig, plan: StreetPlan) -> tuple[PersonPlan, ...]:
    """Pedestrians, then cyclists, seen one after the other along the drive; fewer than asked for if there is no room.

    Every other pedestrian crosses the road, if a zebra crossing can be seen in time.
    """
    if config.num_pedestrians + config.num_cyclists == 0:
        return ()
    around = surroundings_of(config, plan)
    people: list[PersonPlan] = []
    for kind, count in (("Pedestrian", config.num_pedestrians), ("Cyclist", config.num_cyclists)):
        for number in range(count):
            rng = numpy_stream(config.seed, kind, number)
            wish = _wish(rng, kind, around.times[-1], number / count, (number + 1) / count)
            person = None
            if kind == "Pedestrian" and number % 2 == 0:
                person = _best(rng, around, people, _draw_crossing, wish)
                least_s = min(LEAST_SEEN_S, LEAST_SEEN_SHARE * around.times[-1])
                if person is not None and seen_s(around, person) < least_s:
                    person = None
            person = person or _best(rng, around, people, _draw_ride if kind == "Cyclist" else _draw_walk, wish)
            people += [person] if person else []
    return tuple(people)


def _wish(rng: np.random.Generator, kind: str, duration_s: float, first: float, last: float) -> Wish:
    speed = rng.uniform(*(RIDE_M_S if kind == "Cyclist" else WALK_M_S))
    return Wish((first * duration_s, last * duration_s), speed, int(rng.choice([-1, 1])), int(rng.integers(2)))


Way = Callable[[np.random.Generator, Surroundings, Wish], PersonPlan | None]


def _best(
    rng: np.random.Generator, around: Surroundings, people: Sequence[PersonPlan], way: Way, wish: Wish
) -> PersonPlan | None:
    """The best seen of the first WANTED possible draws; after half of the draws other speeds and sides will do."""
    best, best_s, found = None, -1.0, 0
    for number in range(DRAWS):
        if number >= DRAWS // 2:
            kind = "Cyclist" if way is _draw_ride else "Pedestrian"
            wish = _wish(rng, kind, around.times[-1], 0.0, 1.0)
        person = way(rng, around, wish)
        if person is None or not is_clear(around, person, people):
            continue
        score = seen_s(around, person)
        if score > best_s:
            best, best_s = person, score
        found += 1
        if found == WANTED:
            break
    return best


def _draw_walk(rng: np.random.Generator, around: Surroundings, wish: Wish) -> PersonPlan | None:
    """A walk along a pavement that is 4 to 20 m ahead of the ego vehicle at some time of the wish."""
    side = around.plan.sides[wish.side]
    lateral = side.sign * _walking_line(rng, side)
    moment_s = rng.uniform(*wish.moment_s)
    s = around.config.speed_m_s * moment_s + rng.uniform(4, 20) - wish.direction * wish.speed_m_s * moment_s
    return _straight(rng, around, "Pedestrian", s, lateral, wish.speed_m_s, wish.direction)


def _walking_line(rng: np.random.Generator, side: Side) -> float:
    """A line between what stands at the kerb and the walls, metres from the ego lane."""
    return rng.uniform(side.kerb_m + 1.5, max(side.facade_m - 0.65, side.kerb_m + 1.6))


def _draw_ride(rng: np.random.Generator, around: Surroundings, wish: Wish) -> PersonPlan | None:
    """A ride on the cycle lane, or along the kerb where there is none; on the left it comes towards the ego."""
    side = around.plan.sides[wish.side]
    lane = 0.5 * (1.5 * LANE_M + CLEAR_M) if side.parking else side.kerb_m - 0.5
    lateral = side.sign * (lane + rng.uniform(-0.12, 0.04))
    moment_s = rng.uniform(*wish.moment_s)
    s = around.config.speed_m_s * moment_s + rng.uniform(6, 30) + side.sign * wish.speed_m_s * moment_s
    return _straight(rng, around, "Cyclist", s, lateral, wish.speed_m_s, -side.sign)


def _straight(
    rng: np.random.Generator, around: Surroundings, class_name: str, s: float, lateral: float, speed: float,
    direction: int,
) -> PersonPlan | None:  # fmt: skip
    """A way along the road from s at time 0; None if that leaves the street."""
    last = s + direction * (speed * around.times[-1] * 1.05 + 1.0)
    if not S_START + 5 < min(s, last) < max(s, last) < around.plan.s_end - 5:
        return None
    course = plan_course(around.plan, [(s, lateral), (last, lateral)])
    return PersonPlan(class_name, int(rng.integers(2**31)), course, 0.0, speed)


def _draw_crossing(rng: np.random.Generator, around: Surroundings, wish: Wish) -> PersonPlan | None:
    """A walk along a pavement, over a zebra crossing, and on along the other pavement."""
    reachable = [(a, b) for a, b in around.plan.crossings if AHEAD_M < a < driven_m(around.config) + 40]
    if not reachable:
        return None
    share = rng.uniform(*wish.moment_s) / around.times[-1]
    start, end = reachable[min(int(share * len(reachable)), len(reachable) - 1)]
    s = rng.uniform(start + 0.6, end - 0.6)
    first, other = around.plan.sides[wish.side], around.plan.sides[1 - wish.side]
    here, there = (side.sign * _walking_line(rng, side) for side in (first, other))
    reach = wish.speed_m_s * around.times[-1] + 8.0
    turns = (wish.direction, int(rng.choice([-1, 1])))
    corners = [(s + turns[0] * reach, here), (s, here), (s, there), (s + turns[1] * reach, there)]
    moment_s = rng.uniform(-4.0, around.times[-1] + 4.0)  # when the middle of the road is reached
    begin = reach + abs(here) - wish.speed_m_s * moment_s
    return _cut(rng, around, corners, begin, wish.speed_m_s)


def _cut(
    rng: np.random.Generator, around: Surroundings, corners: Sequence[tuple[float, float]], begin: float, speed: float
) -> PersonPlan | None:
    """The part of a way that is walked in the clip, from `begin` on; None if that leaves the way or the street."""
    course = plan_course(around.plan, corners)
    s = course.road_at(np.array([begin, begin + speed * around.times[-1]]))[:, 0]
    if begin < 0 or begin + speed * around.times[-1] > course.length_m:
        return None
    if not S_START + 5 < s.min() < s.max() < around.plan.s_end - 5:
        return None
    return PersonPlan("Pedestrian", int(rng.integers(2**31)), course, begin, speed)
