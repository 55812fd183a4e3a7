"""Places the first Gaussians: on LiDAR where there is some, along image rays elsewhere; the sky is from the images."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from faithfusion.data.lidar import project_points
from faithfusion.scene.coloring import color_points
from faithfusion.scene.drive_lidar import DriveLidar
from faithfusion.scene.far_field import Seeds, initial_sky, seed_uncovered
from faithfusion.scene.graph import concatenate, quaternions_from_rotations
from faithfusion.scene.ground import Ground, ground_at
from faithfusion.scene.pointcloud import LocalShape, PointCloud, make_nodes, shape_of_nodes, thin_to_budget
from faithfusion.scene.scene_config import InitialiseConfig
from faithfusion.types import DriveClip, Frame, Gaussians, GaussianScene, RigidNode
from faithfusion.utils.errors import InputError
from faithfusion.utils.harmonics import SH_0
from faithfusion.utils.progress import say
from faithfusion.utils.seed import make_generator

NUM_NEIGHBOURS = 8
"""So many neighbours decide the size and the orientation of a LiDAR Gaussian."""
SCALE_PER_SPACING = 0.75
"""The standard deviation of a Gaussian over the distance to its neighbours."""
OPACITY, FAR_OPACITY = 0.6, 0.2
"""First opacities of LiDAR Gaussians, and of seeds, whose depth is a guess."""
THINNEST = 0.15
"""The scale of a Gaussian along the normal is at least this share of its scale along the surface."""
GROUND_THINNEST = 0.08
"""The scale along the normal of discs laid on the ground, as a share of their scale in the ground."""
GROUND_BAND_M = 0.15
"""Returns this near to the ground surface are ground: noise of the sensor, camber, errors of the poses."""


def initialise_scene(
    clip: DriveClip,
    train_frames: Sequence[Frame],
    config: InitialiseConfig,
    *,
    lidar: PointCloud | None = None,
    ground: Ground | None = None,
    seed: int = 0,
) -> GaussianScene:
    """A scene to start fitting from: background, one node per moving track, sky. `lidar`: what `DriveLidar.cloud` has
    read already; `ground`: see `config.ground`.

    Copes with clips without LiDAR, boxes or masks, and says what it does instead.
    """
    if not train_frames:
        raise InputError(clip.root, "no training frames", "at least one")
    nodes = make_nodes(clip)
    generator = make_generator(seed, "initialise")
    lidar = DriveLidar(clip, config.max_dense_points, seed).cloud(train_frames) if lidar is None else lidar
    dense = _dense_cloud(lidar, train_frames, nodes, config, generator)
    _say_what_is_missing(clip, len(dense.points))
    far_frames = _spread(train_frames, config.num_frames)
    num_far = round(config.max_gaussians * (config.far_fraction if len(dense.points) else 1.0))
    centres = torch.stack([frame.camera.world_from_camera[:3, 3] for frame in train_frames])
    cloud = _thin(dense, nodes, centres, config.max_gaussians - num_far, config.max_node_gaussians)
    colors, seen = color_points(cloud, nodes, _spread(train_frames, 2 * config.num_frames))
    near = _lidar_gaussians(cloud.select(seen), colors[seen], config)
    if ground is not None and config.ground == "discs":
        near = lay_on_ground(near, cloud.node_ids[seen], ground)
    far = _seed_gaussians(seed_uncovered(dense, nodes, far_frames, train_frames, num_far, generator), config)
    node_ids = torch.cat([cloud.node_ids[seen], torch.zeros(far.num, dtype=torch.long)])
    sky = initial_sky(
        dense, nodes, _spread(train_frames, 2 * config.num_frames), config.sky_height, 2 * config.sky_height
    )
    return GaussianScene(concatenate(near, far), node_ids, nodes, sky)


def _dense_cloud(
    cloud: PointCloud,
    train_frames: Sequence[Frame],
    nodes: tuple[RigidNode, ...],
    config: InitialiseConfig,
    generator: torch.Generator,
) -> PointCloud:
    background = cloud.points[cloud.node_ids == 0]
    background = background[torch.randperm(len(background), generator=generator)[: 2 * config.max_dense_points]]
    background = background[_in_some_image(background, _spread(train_frames, config.num_frames))]
    background = background[: config.max_dense_points]
    empty = [index for index in range(1, len(nodes) + 1) if not (cloud.node_ids == index).any()]
    surfaces = [_box_surface(nodes[index - 1], index, config.max_node_gaussians, generator) for index in empty]
    static = PointCloud(background, torch.zeros(len(background), dtype=torch.long))
    parts = [static, cloud.select(cloud.node_ids > 0), *surfaces]
    return PointCloud(torch.cat([part.points for part in parts]), torch.cat([part.node_ids for part in parts]))


def _in_some_image(points: Float[Tensor, "n 3"], frames: Sequence[Frame]) -> Bool[Tensor, " n"]:
    seen = torch.zeros(len(points), dtype=torch.bool)
    for frame in frames:
        seen |= project_points(points, frame.camera)[2]
    return seen


def _box_surface(node: RigidNode, node_id: int, num: int, generator: torch.Generator) -> PointCloud:
    """Random points on the faces of a box: the start of a vehicle that no scan hit."""
    points = torch.rand(num, 3, generator=generator) - 0.5
    axis = torch.randint(3, (num,), generator=generator)
    points[torch.arange(num), axis] = points[torch.arange(num), axis].sign() * 0.5
    return PointCloud(points * node.size_m, torch.full((num,), node_id))


def _thin(
    dense: PointCloud, nodes: tuple[RigidNode, ...], centres: Float[Tensor, "c 3"], budget: int, node_budget: int
) -> PointCloud:
    node_budget = min(node_budget, budget // (2 * len(nodes))) if nodes else 0
    chosen = []
    for node_id in range(1, len(nodes) + 1):
        members = torch.nonzero(dense.node_ids == node_id).squeeze(1)
        chosen.append(members[thin_to_budget(dense.points[members], torch.zeros(1, 3), node_budget)])
    background = torch.nonzero(dense.node_ids == 0).squeeze(1)
    room = budget - sum(map(len, chosen))
    chosen.append(background[thin_to_budget(dense.points[background], centres, room)])
    return dense.select(torch.cat(chosen))


def _lidar_gaussians(cloud: PointCloud, colors: Float[Tensor, "n 3"], config: InitialiseConfig) -> Gaussians:
    """Discs in the surface their neighbours span: flat on the road and on facades, round in foliage."""
    if len(cloud.points) == 0:
        return _seed_gaussians(Seeds(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0)), config)
    shape: LocalShape = shape_of_nodes(cloud, NUM_NEIGHBOURS)
    spacing_m = shape.spacing_m.clamp(0.02, 5.0) * SCALE_PER_SPACING
    ratios = torch.ones(len(spacing_m), 3)
    ratios[:, 0] = shape.flatness.clamp_min(THINNEST)
    return Gaussians(
        means=cloud.points.clone(),
        quats=quaternions_from_rotations(shape.axes),
        log_scales=(spacing_m[:, None] * ratios).log(),
        opacity_logits=torch.full_like(spacing_m, math.log(OPACITY / (1 - OPACITY))),
        colors=_harmonics(colors, config.sh_degree),
    )


def lay_on_ground(gaussians: Gaussians, node_ids: Int[Tensor, " n"], ground: Ground) -> Gaussians:
    """Background Gaussians near the ground moved into it, as round discs of `GROUND_THINNEST`."""
    height_m, normal, known = ground_at(ground, gaussians.means)
    chosen = known & (height_m.abs() < GROUND_BAND_M) & (node_ids == 0)
    means = gaussians.means.clone()
    means[chosen, 2] -= height_m[chosen]
    in_plane = gaussians.log_scales.amax(1, keepdim=True).expand(-1, 3).clone()
    in_plane[:, 0] += math.log(GROUND_THINNEST)
    return dataclasses.replace(
        gaussians,
        means=means,
        quats=torch.where(chosen[:, None], quaternions_from_rotations(frames_of_normals(normal)), gaussians.quats),
        log_scales=torch.where(chosen[:, None], in_plane, gaussians.log_scales),
    )


def frames_of_normals(normal: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    """Rotations whose first column is the given unit vector, which must not be along y."""
    side = torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]).to(normal).expand_as(normal), normal)
    side = side / side.norm(dim=-1, keepdim=True)
    return torch.stack([normal, torch.linalg.cross(side, normal), side], -1)


def _seed_gaussians(seeds: Seeds, config: InitialiseConfig) -> Gaussians:
    num = len(seeds.points)
    return Gaussians(
        means=seeds.points,
        quats=torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(num, 1),
        log_scales=(seeds.spacing_m * SCALE_PER_SPACING).log()[:, None].repeat(1, 3),
        opacity_logits=torch.full((num,), math.log(FAR_OPACITY / (1 - FAR_OPACITY))),
        colors=_harmonics(seeds.colors, config.sh_degree),
    )


def _harmonics(rgb: Float[Tensor, "n 3"], sh_degree: int) -> Float[Tensor, "n k 3"]:
    colors = torch.zeros(len(rgb), (sh_degree + 1) ** 2, 3)
    colors[:, 0] = (rgb - 0.5) / SH_0
    return colors


def _spread(frames: Sequence[Frame], count: int) -> list[Frame]:
    """About `count` frames, evenly spread over time, all cameras of a chosen time stamp."""
    times = sorted({frame.time_index for frame in frames})
    per_time = max(len(frames) // len(times), 1)
    stride = max(1, len(times) * per_time // max(count, 1))
    chosen = set(times[::stride])
    return [frame for frame in frames if frame.time_index in chosen]


def _say_what_is_missing(clip: DriveClip, num_points: int) -> None:
    if num_points == 0:
        say(f"{clip.name}: no LiDAR, starting from a random cloud in the cameras' frusta")
    if "sky masks" in clip.missing:
        say(f"{clip.name}: no sky masks, the sky starts from what lies above the LiDAR returns")
    if "boxes" in clip.missing:
        say(f"{clip.name}: no boxes, everything is fitted as static")
