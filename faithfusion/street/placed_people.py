"""People of a plan as triangles in the world at any time, and the boxes that hold them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from faithfusion.street.bicycles import Bicycle, bicycle_patches, draw_bicycle, riding_pose
from faithfusion.street.courses import Course
from faithfusion.street.gait import Gait, step_length, walking_pose
from faithfusion.street.meshes import Patch
from faithfusion.street.outfits import Outfit, draw_outfit
from faithfusion.street.people import person_patches, skirt_patch
from faithfusion.street.room import PersonPlan
from faithfusion.street.skeleton import Body, posed, turned


@dataclass(frozen=True, eq=False)
class Figure:
    """Somebody's body, clothes and way of moving; patches by bone, in bone axes, and their different corners."""

    body: Body
    outfit: Outfit
    gait: Gait
    bicycle: Bicycle | None
    patches: dict[str, list[Patch]]
    outline: dict[str, np.ndarray]  # [n, 3]

    def poses(self, course: Course, distance: float) -> dict[str, np.ndarray]:
        """World poses [4, 4] of all bones, and of the bicycle's parts."""
        if self.bicycle is not None:
            return riding_pose(self.body, self.bicycle, course, distance)
        return walking_pose(self.body, self.gait, course, distance)


@functools.lru_cache(maxsize=256)
def figure_of(class_name: str, look: int, speed_m_s: float) -> Figure:
    """The figure that a plan's `look` stands for."""
    rng = np.random.default_rng(look)
    body = Body(rng.uniform(1.55, 1.9), rng.uniform(0.92, 1.12))
    cycles = class_name == "Cyclist"
    outfit = draw_outfit(rng, cycling=cycles)
    gait = Gait(step_length(body, speed_m_s), rng.uniform(0.3, 0.45), rng.uniform(0.03, 0.08), rng.uniform(0.15, 0.35))
    bicycle = draw_bicycle(rng) if cycles else None
    patches = person_patches(body, outfit) | (bicycle_patches(body, bicycle) if bicycle else {})
    outline = {
        bone: np.unique(np.concatenate([patch.corners.reshape(-1, 3) for patch in found]), axis=0)
        for bone, found in patches.items()
    }
    return Figure(body, outfit, gait, bicycle, patches, outline)


def placed_person(plan: PersonPlan, time_s: float, instance: int) -> list[Patch]:
    """The person's patches in the world, always the same triangles in the same order, marked with `instance`."""
    figure = figure_of(plan.class_name, plan.look, plan.speed_m_s)
    poses = figure.poses(plan.course, float(plan.distance(time_s)))
    patches = [patch.moved(poses[bone], instance) for bone, found in figure.patches.items() for patch in found]
    if figure.outfit.skirt_m > 0:
        patches.append(skirt_patch(figure.body, figure.outfit, poses).moved(np.eye(4), instance))
    return patches


def person_frame(plan: PersonPlan, time_s: float) -> np.ndarray:
    """world_from_person [4, 4]: x along the way, z up, origin on the ground under the body."""
    distance = float(plan.distance(time_s))
    course = plan.course
    return posed(turned(course.heading(distance)), np.append(course.at(distance), course.floor(distance)))


def person_corners(plan: PersonPlan, time_s: float) -> np.ndarray:
    """Corners [F, 3, 3] of the person's triangles in the world."""
    return np.concatenate([patch.corners for patch in placed_person(plan, time_s, 0)])


def person_points(plan: PersonPlan, time_s: float) -> np.ndarray:
    """The different corners [n, 3] of the person's triangles in the world; cheaper than `person_corners`."""
    figure = figure_of(plan.class_name, plan.look, plan.speed_m_s)
    poses = figure.poses(plan.course, float(plan.distance(time_s)))
    points = [corners @ poses[bone][:3, :3].T + poses[bone][:3, 3] for bone, corners in figure.outline.items()]
    if figure.outfit.skirt_m > 0:
        points.append(skirt_patch(figure.body, figure.outfit, poses).corners.reshape(-1, 3))
    return np.concatenate(points)


def person_box(plan: PersonPlan, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre [3] in the person's frame and size [3] in metres of the one box that holds the person at all times."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for time_s in times_s:
        frame = person_frame(plan, float(time_s))
        local = (person_points(plan, float(time_s)) - frame[:3, 3]) @ frame[:3, :3]
        low, high = np.minimum(low, local.min(0)), np.maximum(high, local.max(0))
    return 0.5 * (low + high), high - low
