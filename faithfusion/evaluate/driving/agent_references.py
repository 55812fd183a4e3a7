"""Where labelled vehicles must appear in a picture from a new pose: the published boxes, and honest ones."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from faithfusion.data.lidar import project_points
from faithfusion.evaluate.driving.boxes import box_areas
from faithfusion.evaluate.driving.views import hidden_points
from faithfusion.types import Camera, Track

WIDTH, HEIGHT = 480, 320
"""The published size, in pixels, at which boxes are compared."""
VEHICLE_WORDS = {"vehicle", "car", "van", "truck", "pickup", "bus", "trailer"}
"""A class with one of these words in its name is of vehicles (Waymo, nuScenes, Argoverse, KITTI, PandaSet, nuPlan)."""
TWO_WHEELS = {"bicycle", "motorcycle", "cyclist", "rider"}
MIN_LIDAR_POINTS = 10
MIN_VISIBLE = 0.5
MIN_INSIDE = 0.5
NEAR_M = 0.1
SAMPLES = 12
MARGIN_SHARE = 0.01
"""Nearer by this share of its distance is before a car: two parked ones stand hardly a metre apart."""
CORNERS = torch.tensor(list(itertools.product((-0.5, 0.5), repeat=3)))
EDGES = torch.tensor([(a, b) for a, b in itertools.combinations(range(8), 2) if (CORNERS[a] != CORNERS[b]).sum() == 1])


@dataclass(frozen=True)
class Agents:
    """Labelled boxes at one time stamp: x forward, y left, z up, origin at the centre; sizes in metres."""

    world_from_box: Float[Tensor, "n 4 4"]
    size_m: Float[Tensor, "n 3"]
    top_points: Int[Tensor, " n"] | None = None  # points of the top LiDAR in each as labelled, -1 where that is unknown


@dataclass(frozen=True)
class AgentReferences:
    """Boxes of labelled vehicles in the picture of one camera, in pixels at 480 x 320.

    Attributes:
        boxes: The published boxes: least and greatest of the corners' whole pixels; zeros where a corner lies behind
            the camera.
        is_scored: Whether the published rule keeps the box: it has at least 10 LiDAR points, a corner inside the
            recorded picture, and lies wholly inside the new one.
        extents: The same boxes to a fraction of a pixel, cut at the picture's border and at the camera.
        visible: The share of the vehicle's sides facing the camera that nothing nearer hides; 1 without a depth map.
        is_seen: Whether the honest form asks for it: LiDAR points and recorded corner as above, at least half of it
            inside the new picture, at least half of it visible. Where it is not, detections are neither right nor
            wrong.
    """

    boxes: Float[Tensor, "n 4"]
    is_scored: Bool[Tensor, " n"]
    extents: Float[Tensor, "n 4"]
    visible: Float[Tensor, " n"]
    is_seen: Bool[Tensor, " n"]


def is_vehicle(class_name: str) -> bool:
    """Whether a class is of vehicles with four wheels or more: no people, cyclists, signs or cones."""
    words = set(re.split("[^a-z]+", class_name.lower()))
    return bool(words & VEHICLE_WORDS) and not words & TWO_WHEELS


def vehicles_at(tracks: Sequence[Track], time_index: int) -> Agents:
    """Returns the boxes of the vehicles at one time stamp."""
    poses, sizes, points = [torch.zeros(0, 4, 4)], [torch.zeros(0, 3)], [torch.zeros(0, dtype=torch.long)]
    for track in tracks:
        at = (track.time_indices == time_index).nonzero()[:, 0]
        if len(at) and is_vehicle(track.class_name):
            poses.append(track.world_from_box[at])
            sizes.append(track.size_m[None])
            points.append(torch.tensor([-1]) if track.top_points is None else track.top_points[at])
    return Agents(torch.cat(poses), torch.cat(sizes), torch.cat(points))


def agent_references(
    agents: Agents,
    camera: Camera,
    recorded_camera: Camera,
    points_world: Float[Tensor, "p 3"],
    depth_m: Float[Tensor, "h w"] | None = None,
) -> AgentReferences:
    """Returns where the agents must appear from `camera`.

    `recorded_camera` took the picture at the same time stamp; `points_world` is its scan in metres, whose points are
    counted where the labels do not say how many of the top LiDAR lie in a box; `depth_m` is the true or rendered depth
    of `camera`'s picture.
    The result lies on the CPU.
    """
    camera, recorded_camera = camera.to("cpu").resized(WIDTH, HEIGHT), recorded_camera.to("cpu")
    boxes, is_whole = published_boxes(agents, camera)
    full = [full_extent(corners, camera) for corners in box_corners(agents)]
    full_extents = torch.stack(full) if full else torch.zeros(0, 4)
    extents = clip_to_picture(full_extents)
    is_known = (lidar_counts(agents, points_world) >= MIN_LIDAR_POINTS) & is_recorded(agents, recorded_camera)
    visible = torch.ones(len(boxes)) if depth_m is None else visible_shares(agents, camera, depth_m.cpu())
    is_inside = box_areas(extents) >= MIN_INSIDE * box_areas(full_extents).clamp_min(1e-6)
    is_seen = is_known & is_inside & (visible >= MIN_VISIBLE)
    return AgentReferences(boxes, is_whole & is_known, extents, visible, is_seen)


def box_corners(agents: Agents) -> Float[Tensor, "n 8 3"]:
    """Returns the corners of boxes in the world."""
    return _in_world(agents, CORNERS.expand(len(agents.size_m), 8, 3))


def _in_world(agents: Agents, places: Float[Tensor, "n k 3"]) -> Float[Tensor, "n k 3"]:
    """Brings places in units of the box's size, -0.5 to 0.5, to the world."""
    in_box = places * agents.size_m[:, None]
    return in_box @ agents.world_from_box[:, :3, :3].mT + agents.world_from_box[:, None, :3, 3]


def lidar_counts(agents: Agents, points_world: Float[Tensor, "p 3"]) -> Int[Tensor, " n"]:
    """Returns how many points lie in each box: as its label says, else those of the scan."""
    counts = []
    for pose, size in zip(agents.world_from_box, agents.size_m, strict=True):
        in_box = (points_world - pose[:3, 3]) @ pose[:3, :3]
        counts.append((in_box.abs() <= size / 2).all(-1).sum())
    counted = torch.stack(counts) if counts else torch.zeros(0, dtype=torch.long)
    return counted if agents.top_points is None else torch.where(agents.top_points < 0, counted, agents.top_points)


def is_recorded(agents: Agents, recorded_camera: Camera) -> Bool[Tensor, " n"]:
    """Returns which boxes have at least one corner inside the recorded picture."""
    _, _, inside = project_points(box_corners(agents).reshape(-1, 3), recorded_camera)
    return inside.reshape(-1, 8).any(-1)


def published_boxes(agents: Agents, camera: Camera) -> tuple[Float[Tensor, "n 4"], Bool[Tensor, " n"]]:
    """Returns the least and greatest whole pixel of the corners, and which boxes lie wholly inside the picture."""
    uv, depth, _ = project_points(box_corners(agents).reshape(-1, 3), camera)
    pixels, in_front = uv.trunc().reshape(-1, 8, 2), (depth.reshape(-1, 8) > NEAR_M).all(-1)
    boxes = torch.cat([pixels.amin(1), pixels.amax(1)], -1) * in_front[:, None]
    size = torch.tensor([camera.width, camera.height])
    return boxes, in_front & (boxes[:, :2] >= 0).all(-1) & (boxes[:, 2:] < size).all(-1)


def full_extent(corners: Float[Tensor, "8 3"], camera: Camera) -> Float[Tensor, 4]:
    """Returns the box around the part of a 3D box in front of the camera, not cut at the border; zeros if none is."""
    camera_from_world = camera.camera_from_world
    points = corners @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    first, second = points[EDGES[:, 0]], points[EDGES[:, 1]]
    crosses = (first[:, 2] > NEAR_M) != (second[:, 2] > NEAR_M)
    first, second = first[crosses], second[crosses]
    share = (NEAR_M - first[:, 2:]) / (second[:, 2:] - first[:, 2:])
    ends = torch.cat([points[points[:, 2] > NEAR_M], first + share * (second - first)])
    if len(ends) == 0:
        return torch.zeros(4)
    uv = (ends @ camera.intrinsics.T)[:, :2] / ends[:, 2:]
    return torch.cat([uv.amin(0), uv.amax(0)])


def clip_to_picture(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Returns boxes cut at the border of the picture of 480 x 320 pixels."""
    return torch.minimum(boxes.clamp_min(0), torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT]))


def visible_shares(agents: Agents, camera: Camera, depth_m: Float[Tensor, "h w"]) -> Float[Tensor, " n"]:
    """Returns the share of each box's faces towards the camera, as large as they appear, that nothing hides.

    The car itself lies behind the near faces of its box and so never hides them. 1 where no such face is in the
    picture.
    """
    shares = []
    for pose, size in zip(agents.world_from_box, agents.size_m, strict=True):
        points, weights = _facing_points(pose, size, camera)
        _, _, inside = project_points(points, camera)
        weights = weights * inside
        hidden = hidden_points(points, camera, depth_m, margin_share=MARGIN_SHARE)
        shares.append(1 - (weights * hidden).sum() / weights.sum() if weights.sum() > 0 else torch.tensor(1.0))
    return torch.stack(shares) if shares else torch.zeros(0)


def _facing_points(
    pose: Float[Tensor, "4 4"], size: Float[Tensor, 3], camera: Camera
) -> tuple[Float[Tensor, "p 3"], Float[Tensor, " p"]]:
    """Points on the faces towards the camera, and the solid angle that each stands for, up to a factor."""
    steps = (torch.arange(SAMPLES) + 0.5) / SAMPLES - 0.5
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
    eye = camera.world_from_camera[:3, 3]
    points, weights = [], []
    for axis, side in itertools.product(range(3), (-1.0, 1.0)):
        others = [k for k in range(3) if k != axis]
        places = torch.full((len(grid), 3), 0.5 * side)
        places[:, others] = grid
        on_face = places * size @ pose[:3, :3].T + pose[:3, 3]
        to_eye = eye - on_face
        distance = to_eye.norm(dim=-1)
        turned = (to_eye @ (side * pose[:3, axis])) / distance
        points.append(on_face)
        weights.append(turned.clamp_min(0) * size[others].prod() / distance.square())
    return torch.cat(points), torch.cat(weights)
