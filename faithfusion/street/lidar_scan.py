"""A turning laser scanner: exact hits with range noise, in DriveStudio's 14 columns."""

from __future__ import annotations

import numpy as np

from faithfusion.street.meshes import Material
from faithfusion.street.rig import LIDAR_IN_EGO, lidar_directions
from faithfusion.street.street_plan import numpy_stream
from faithfusion.street.tracer import TracedScene
from faithfusion.street.world import StreetWorld, people_velocities

FLOW_CLASS = {"Pedestrian": 2, "Cyclist": 4}
LIDAR_RANGE_M = 80.0
GROUND = (Material.ASPHALT, Material.PAVEMENT, Material.GRASS)


def lidar_scan(world: StreetWorld, scene: TracedScene, t: int) -> np.ndarray:
    """One scan, float32 [N, 14] in the ego frame: origin 3, point 3, flow 3 (m/s), flow class (0 background,
    1 vehicle, 2 pedestrian, 4 cyclist, as in Waymo's), ground label, intensity, elongation, laser id (0 = top)."""
    config, pose = world.config, world.world_from_ego[t]
    in_ego = lidar_directions(config)
    directions = in_ego @ pose[:3, :3].T
    origin = pose[:3, :3] @ LIDAR_IN_EGO + pose[:3, 3]
    hits = scene.first_hits(np.tile(origin, (len(directions), 1)), directions)
    seen = np.flatnonzero((hits.face >= 0) & (hits.distance < LIDAR_RANGE_M) & (hits.distance > 1.0))
    rng = numpy_stream(config.seed, "lidar", t)
    distance = hits.distance[seen] + config.lidar_noise_m * rng.standard_normal(len(seen))
    surface = scene.mesh.surface_ids[hits.face[seen]]
    instance = scene.mesh.instances[surface]
    scan = np.zeros((len(seen), 14), np.float32)
    scan[:, 0:3] = LIDAR_IN_EGO
    scan[:, 3:6] = LIDAR_IN_EGO + distance[:, None] * in_ego[seen]
    for car in world.cars:
        if car.is_moving:
            heading = world.plan.centreline.heading(car.plan.s0 + car.plan.speed_m_s * t / config.frame_rate_hz)
            velocity = car.plan.speed_m_s * np.array([np.cos(heading), np.sin(heading), 0.0])
            scan[instance == car.number + 1, 6:9] = velocity @ pose[:3, :3]
    scan[:, 9] = instance > 0
    if world.people:
        _add_people(world, t, hits.face[seen] - len(scene.mesh.corners), hits.bary[seen], instance, scan)
    scan[:, 10] = np.isin(scene.mesh.materials[surface], GROUND)
    scan[:, 11] = scene.mesh.colors[surface].mean(1)
    return scan


def _add_people(
    world: StreetWorld, t: int, face_from_end: np.ndarray, bary: np.ndarray, instance: np.ndarray, scan: np.ndarray
) -> None:
    """Writes flow and class of the points on people; limbs have their own velocities."""
    for person in world.people:
        scan[instance == person.number + 1, 9] = FLOW_CLASS[person.plan.class_name]
    mine = np.flatnonzero(instance > len(world.cars))
    corner = people_velocities(world, t)[face_from_end[mine]]
    u, v = bary[mine].T[..., None]
    flow = corner[:, 0] * (1 - u - v) + corner[:, 1] * u + corner[:, 2] * v
    scan[mine, 6:9] = flow @ world.world_from_ego[t][:3, :3]
