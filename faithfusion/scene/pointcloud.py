"""LiDAR accumulated over time: the static world in world coordinates, moving vehicles in their box coordinates."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from faithfusion.data.instances import is_non_rigid
from faithfusion.data.lidar import load_points_world
from faithfusion.data.movers import BOX_MARGIN_M
from faithfusion.scene.deform import box_handles
from faithfusion.scene.graph import node_poses
from faithfusion.types import DriveClip, RigidNode, Track
from faithfusion.utils.seed import make_generator

GROUND_CLEARANCE_M = 0.15
"""Points lower than this above the bottom face of a box are road."""
KEY_BITS = 19
"""Bits per axis of a voxel's integer key."""


@dataclass(frozen=True)
class PointCloud:
    """Points with the node they belong to: 0 = background (world), k = nodes[k - 1] (box coordinates)."""

    points: Float[Tensor, "n 3"]
    node_ids: Int[Tensor, " n"]

    def select(self, index: Tensor) -> PointCloud:
        """The rows of a mask or index."""
        return PointCloud(self.points[index], self.node_ids[index])


def make_nodes(clip: DriveClip) -> tuple[RigidNode, ...]:
    """One node per moving track, with handles if its class changes shape; parked vehicles belong to the background."""
    return tuple(_make_node(track) for track in clip.tracks if track.is_moving)


def _make_node(track: Track) -> RigidNode:
    node = RigidNode(track.track_id, track.size_m, track.time_indices, track.world_from_box)
    if not is_non_rigid(track.class_name):
        return node
    handles = box_handles(track.size_m)
    offsets = torch.zeros(len(track.time_indices), *handles.shape)
    return dataclasses.replace(node, handles_m=handles, handle_offsets_m=offsets)


def accumulate_lidar(
    clip: DriveClip,
    time_indices: Sequence[int],
    nodes: tuple[RigidNode, ...],
    *,
    max_points: int | None = None,
    seed: int = 0,
) -> PointCloud:
    """Returns of the scans at `time_indices`, read one by one; those inside a moving box go to its node, in box
    coordinates. At most `max_points` of the background are kept, a random choice of the same size from every scan, so
    that memory does not grow with the drive."""
    per_scan = None if max_points is None else max(1, max_points // max(len(time_indices), 1))
    parts = [_split_scan(load_points_world(clip, t), nodes, t, per_scan, seed) for t in time_indices]
    if not parts:
        return PointCloud(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    return PointCloud(torch.cat([part.points for part in parts]), torch.cat([part.node_ids for part in parts]))


def _split_scan(
    points_world: Float[Tensor, "n 3"],
    nodes: tuple[RigidNode, ...],
    time_index: int,
    max_background: int | None,
    seed: int,
) -> PointCloud:
    points = points_world.clone()
    node_ids = torch.zeros(len(points), dtype=torch.long)
    poses, present = node_poses(nodes, time_index, points_world)
    for index, node in enumerate(nodes):
        if not present[index]:
            continue
        local = (points_world - poses[index, :3, 3]) @ poses[index, :3, :3]
        inside = inside_box(local, node.size_m)
        points[inside], node_ids[inside] = local[inside], index + 1
    background = torch.nonzero(node_ids == 0).squeeze(1)
    if max_background is None or len(background) <= max_background:
        return PointCloud(points, node_ids)
    order = torch.randperm(len(background), generator=make_generator(seed, "scan", time_index))
    kept = torch.cat([background[order[:max_background]], torch.nonzero(node_ids > 0).squeeze(1)])
    return PointCloud(points[kept], node_ids[kept])


def inside_box(local: Float[Tensor, "n 3"], size_m: Float[Tensor, 3]) -> Bool[Tensor, " n"]:
    """Points in box coordinates that belong to the vehicle: within the box and its margin, and above the road."""
    half = size_m / 2.0
    above_road = local[:, 2] > -half[2] + GROUND_CLEARANCE_M
    return (local.abs() <= half + BOX_MARGIN_M).all(-1) & above_road


def points_at(cloud: PointCloud, nodes: tuple[RigidNode, ...], time_index: int) -> tuple[Tensor, Tensor]:
    """(points in the world at one time stamp [n, 3], whether each exists then [n])."""
    if not nodes:
        return cloud.points, torch.ones(len(cloud.points), dtype=torch.bool)
    poses, present = node_poses(nodes, time_index, cloud.points)
    identity = torch.eye(4, dtype=poses.dtype)[None]
    pose = torch.cat([identity, poses])[cloud.node_ids]
    world = (pose[:, :3, :3] @ cloud.points[..., None]).squeeze(-1) + pose[:, :3, 3]
    return world, torch.cat([torch.ones(1, dtype=torch.bool), present])[cloud.node_ids]


def thin_to_budget(
    points: Float[Tensor, "n 3"], centres: Float[Tensor, "c 3"], budget: int, *, near_m: float = 8.0, rounds: int = 12
) -> Int[Tensor, " m"]:
    """Indices of at most `budget` points, one per voxel, with voxels that double in size with every doubling of the
    distance to the nearest camera centre beyond `near_m`: about constant density in the images.

    The finest voxel is found by bisection; deterministic.
    """
    if len(points) <= budget:
        return torch.arange(len(points))
    distance_m, _ = cKDTree(centres.numpy()).query(points.numpy())
    octave = np.floor(np.log2(np.maximum(distance_m / near_m, 1.0))).astype(np.int64)
    low_m, high_m = 0.0, 4.0
    chosen = np.arange(0)
    for _ in range(rounds):
        voxel_m = (low_m + high_m) / 2.0
        first = np.unique(_voxel_keys(points.numpy(), octave, voxel_m), return_index=True)[1]
        if len(first) > budget:
            low_m = voxel_m
        else:
            high_m, chosen = voxel_m, first
    return torch.from_numpy(np.sort(chosen))


def _voxel_keys(points: np.ndarray, octave: np.ndarray, voxel_m: float) -> np.ndarray:
    size_m = voxel_m * np.exp2(octave)[:, None]
    cells = np.floor((points - points.min(0)) / size_m).astype(np.int64) & ((1 << KEY_BITS) - 1)
    return ((octave << KEY_BITS | cells[:, 0]) << KEY_BITS | cells[:, 1]) << KEY_BITS | cells[:, 2]


@dataclass(frozen=True)
class LocalShape:
    """Size and orientation of the neighbourhood of every point."""

    spacing_m: Float[Tensor, " n"]  # mean distance to the three nearest neighbours
    axes: Float[Tensor, "n 3 3"]  # columns: directions of growing spread; the first is the normal
    flatness: Float[Tensor, " n"]  # spread along the normal over that along the next axis, in [0, 1]


def local_shape(points: Float[Tensor, "n 3"], num_neighbours: int) -> LocalShape:
    """Principal axes of each point's `num_neighbours` nearest neighbours (scipy's k-d tree)."""
    count = min(num_neighbours + 1, len(points))
    distance, index = cKDTree(points.numpy()).query(points.numpy(), k=[*range(1, count + 1)])
    spacing = torch.from_numpy(distance[:, 1:4].mean(1) if count > 1 else distance[:, 0]).float()
    neighbours = points[torch.from_numpy(index)]
    centred = neighbours - neighbours.mean(1, keepdim=True)
    spread, axes = torch.linalg.eigh(centred.mT @ centred / count)
    axes = axes * torch.linalg.det(axes).sign()[:, None, None]
    spread = spread.clamp_min(0.0).sqrt()
    return LocalShape(spacing, axes, (spread[:, 0] / spread[:, 1].clamp_min(1e-9)).clamp(0.0, 1.0))


def shape_of_nodes(cloud: PointCloud, num_neighbours: int) -> LocalShape:
    """`local_shape` with neighbours of the same node only."""
    num = len(cloud.points)
    shape = LocalShape(torch.zeros(num), torch.eye(3).repeat(num, 1, 1), torch.ones(num))
    for node_id in torch.unique(cloud.node_ids).tolist():
        members = torch.nonzero(cloud.node_ids == node_id).squeeze(1)
        part = local_shape(cloud.points[members], num_neighbours)
        for field in dataclasses.fields(LocalShape):
            getattr(shape, field.name)[members] = getattr(part, field.name)
    return shape
