"""Recorded views brought into a new one: sharp, true texture where a render is smeared.

Image-based rendering on the scene's own geometry (Buehler et al. 2001, "Unstructured lumigraph rendering"): every pixel
of the new view looks its surface up in the recorded views that are near, and keeps those that show the same surface, in
the order of the angle between the rays and of the resolution.

Lane markings need one thing more. From one lane, Gaussians of a marking may float above the road and still look right,
and their depth carries the marking astray at a shift. LiDAR knows the road, so depth near the ground is that of the
ground.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from faithfusion.eig.assess import training_view
from faithfusion.render.exposure import exposure_of
from faithfusion.render.render_view import node_coverage, render_view
from faithfusion.render.reproject import FAR_M, pixel_rays, sample_image, seen_by, sight, world_points
from faithfusion.scene.drive_lidar import DriveLidar
from faithfusion.scene.ground import Ground, ground_at
from faithfusion.types import Camera, DriveClip, Frame, GaussianScene, WarpedViews, Window
from faithfusion.utils.progress import track
from faithfusion.window.framing import Framing, framed_to
from faithfusion.window.references import POINTS_PER_SIDE
from faithfusion.window.warp_config import WarpConfig

DEPTH_TOLERANCE = 0.05
"""Largest difference between the depth of a surface and what a recorded view sees there, as a share of the depth.
Beyond it something else is in front, or the surface is not there."""
ABOVE_GROUND_M = 0.3
"""A rendered surface up to so far above the ground, or below it, is taken to be the ground."""
COARSER_WEIGHT = 0.3
"""What a recorded view loses for seeing a surface from twice as far, in radians of angle."""
COST_PER_TIME_STAMP = 1e-3
"""Radians, for choosing candidates only: it decides between views of a vehicle that stands still."""
GROUND_ITERATIONS = 6
GROUND_TOLERANCE_M = 1e-4
"""Of the height at which a ray is taken to have met the ground."""
MIN_DESCENT = 0.005
"""Rays flatter than this (fall per metre of depth) meet the ground too far away to say where."""
MAX_GROUND_DEPTH_M = 200.0
MOVING_COVERAGE = 0.5
CACHE_MB = 512
"""Of recorded views kept for the next new view: neighbours look at nearly the same ones."""
BYTES_PER_PIXEL = 4 * (3 + 1) + 1


@dataclass(frozen=True)
class RecordedView:
    """What a recorded frame shows: colours without exposure, pixels that show the world, depth in metres (0: sky)."""

    camera: Camera
    image: Float[Tensor, "h w 3"]
    is_valid: Bool[Tensor, "h w"]
    depth_m: Float[Tensor, "h w"]


class WarpSource:
    """The recorded views of a scene, read and rendered when they are asked for; the most recent stay in memory. The
    scene may lie on a GPU; views are on the CPU."""

    def __init__(
        self,
        scene: GaussianScene,
        clip: DriveClip,
        frames: Sequence[Frame],
        ground: Ground | None,
        config: WarpConfig,
        downscale: int = 1,
    ) -> None:
        self.scene, self.frames, self.ground, self.config = scene, frames, ground, config
        pixels = max((frame.camera.width * frame.camera.height for frame in frames), default=1) // downscale**2
        max_kept = max(config.num_candidates, CACHE_MB * 1_000_000 // (max(pixels, 1) * BYTES_PER_PIXEL))

        @functools.lru_cache(maxsize=max_kept)
        def view(index: int) -> RecordedView:
            return self._read(clip, frames[index], downscale)

        self.view = view  # what frame `index` shows

    def _read(self, clip: DriveClip, frame: Frame, downscale: int) -> RecordedView:
        recorded = training_view(clip, frame)
        framing = _whole(frame.camera, downscale)
        camera, image = framing.camera(frame.camera), framing.image(recorded.image)
        exposure = self.exposure(frame.camera, frame.time_index)
        if exposure is not None:
            image = (image - exposure[1]) / exposure[0]
        depth = render_view(self.scene, camera.to(self.scene.gaussians.means.device), frame.time_index).depth.cpu()
        return RecordedView(camera, image, framing.mask(recorded.mask), self.settle(depth, camera))

    def exposure(self, camera: Camera, time: int) -> tuple[Tensor, Tensor] | None:
        """(gain [3], offset [3]) of a camera's picture; None if the scene does not know it."""
        exposure = exposure_of(self.scene.exposure, camera, time)
        return None if exposure is None else (exposure[0].cpu(), exposure[1].cpu())

    def moving(self, camera: Camera, time: int) -> Bool[Tensor, "h w"]:
        """Pixels of a new view that show moving objects."""
        if not self.scene.nodes:
            return torch.zeros(camera.height, camera.width, dtype=torch.bool)
        device = self.scene.gaussians.means.device
        return node_coverage(self.scene, camera.to(device), time).cpu() > MOVING_COVERAGE

    def settle(self, depth_m: Float[Tensor, "h w"], camera: Camera) -> Float[Tensor, "*places"]:
        """Depth in which what lies near the ground, or below it, lies in it."""
        return depth_m if self.ground is None else on_ground(depth_m, camera, self.ground, ABOVE_GROUND_M)


def warp_source(
    scene: GaussianScene,
    clip: DriveClip,
    frames: Sequence[Frame],
    lidar: DriveLidar,
    config: WarpConfig,
    downscale: int = 1,
) -> WarpSource:
    """The views of recorded `frames` and the ground under them; pictures are read and rendered when they are needed."""
    ground = lidar.ground(frames) if config.num_views else None
    return WarpSource(scene, clip, frames, ground, config, downscale)


def _whole(camera: Camera, downscale: int) -> Framing:
    return framed_to(camera, downscale, camera.height // downscale, camera.width // downscale)


def on_ground(
    depth_m: Float[Tensor, "h w"], camera: Camera, ground: Ground, above_m: float
) -> Float[Tensor, "*places"]:
    """The depth with pixels whose surface is at most `above_m` above the ground, or below it, moved along their rays
    into the ground; where that is known."""
    rays, centre = pixel_rays(camera), camera.world_from_camera[:3, 3]
    falling = (depth_m > 0.0) & (-rays[..., 2] > MIN_DESCENT)
    depth, rays = depth_m[falling], rays[falling]
    height_m, _, known = ground_at(ground, centre + depth[:, None] * rays)
    near = known & (height_m < above_m)
    rays, is_there = rays[near], torch.ones_like(height_m[near], dtype=torch.bool)
    settled = depth[near] - height_m[near] / rays[:, 2]
    moving = torch.arange(len(settled))
    for _ in range(GROUND_ITERATIONS - 1):  # Newton, with the slope of flat ground: a road's is small
        height_m, _, is_there[moving] = ground_at(ground, centre + settled[moving, None] * rays[moving])
        settled[moving] -= height_m / rays[moving, 2]
        moving = moving[height_m.abs() > GROUND_TOLERANCE_M]
    is_there &= (settled > 0.0) & (settled < MAX_GROUND_DEPTH_M)
    depth[near] = torch.where(is_there, settled, depth[near])
    return depth_m.masked_scatter(falling, depth)


@torch.no_grad()
def warped_views(source: WarpSource, window: Window, own_camera: str = "") -> WarpedViews | None:
    """The best recorded views of every pixel of a rendered window: `num_views` of all, then `num_far_views` of those
    from another time; None if none are wanted.

    `own_camera`: the recorded camera that the window repeats, if it does. No frame is shown its own picture, which
    would be the answer.
    """
    if source.config.num_views == 0:
        return None
    frames = []
    places = list(zip(window.cameras, window.time_indices, strict=True))
    for number, (camera, time) in enumerate(track(places, "warp recorded views")):
        depth = source.settle(window.depth[number], camera)
        frames.append(_warp_frame(source, (camera, time), window.render[number], depth, own_camera))
    colors, trust = (torch.stack(parts, dim=1) for parts in zip(*frames, strict=True))
    return WarpedViews(colors, trust)


def candidates(
    frames: Sequence[Frame], points: Float[Tensor, "h w 3"], camera: Camera, time: int, config: WarpConfig
) -> tuple[list[int], list[int]]:
    """Which recorded `frames` may serve a new view of world `points`, the most useful first: of all, and of those that
    are at least `far_time_stamps` away.

    Points of a grid vote for those that show them at the least `viewing_cost`, twice as many as are kept of every
    pixel. What stands in front is not looked at here.
    """
    step = max(1, math.ceil(max(points.shape[:2]) / POINTS_PER_SIDE))
    grid, centre = points[step // 2 :: step, step // 2 :: step].flatten(0, 1), camera.world_from_camera[:3, 3]
    later = torch.tensor([abs(frame.time_index - time) for frame in frames])
    cameras = [frame.camera for frame in frames]
    centres = torch.stack([camera.world_from_camera[:3, 3] for camera in cameras])[:, None]
    costs = viewing_cost(grid, centre, centres) + COST_PER_TIME_STAMP * later[:, None]
    costs = torch.where(seen_by(cameras, grid), costs, torch.inf)
    is_near = later < config.far_time_stamps
    far_costs = costs.masked_fill(is_near[:, None], torch.inf)
    counts = (config.num_views, config.num_far_views)
    return tuple(elected(c, 2 * n, config.num_candidates) for c, n in zip((costs, far_costs), counts, strict=True))


def elected(costs: Float[Tensor, "v p"], votes_per_point: int, count: int) -> list[int]:
    """The `count` views for which most points vote, the first of them first: each point for those with the least cost.
    A cost of infinity gets no vote, and a view without votes is not elected."""
    best = costs.topk(min(votes_per_point, len(costs)), dim=0, largest=False)
    votes = torch.bincount(best.indices[best.values.isfinite()], minlength=len(costs))
    order = votes.argsort(descending=True, stable=True)[:count]
    return order[votes[order] > 0].tolist()


def _warp_frame(
    source: WarpSource,
    place: tuple[Camera, int],
    render: Float[Tensor, "h w 3"],
    depth_m: Float[Tensor, "h w"],
    own_camera: str,
) -> tuple[Float[Tensor, "n h w 3"], Float[Tensor, "n h w"]]:
    """The best views of one frame, the best first, and after those of all the ones from another time that are not
    among them. What moves is looked up at its own time stamp only."""
    camera, time = place
    points = world_points(depth_m, camera)
    exposure, moving = source.exposure(camera, time), source.moving(camera, time)
    near, far = candidates(source.frames, points, camera, time, source.config)
    looked_at = near + [index for index in far if index not in near]
    is_far = torch.tensor([index in far for index in looked_at], dtype=torch.bool)
    wanted, wanted_far = source.config.num_views, source.config.num_far_views
    missing = max(0, wanted + wanted_far - len(looked_at))
    costs = torch.full((len(looked_at) + missing, *depth_m.shape), torch.inf)
    trusts, places = torch.zeros_like(costs), []
    for number, index in enumerate(looked_at):
        uv, cost, trust = look_up(source.view(index), points, camera.world_from_camera[:3, 3])
        if source.frames[index].time_index != time:
            trust = torch.where(moving, 0.0, trust)
        elif own_camera and source.frames[index].camera_name == own_camera:
            trust = torch.zeros_like(trust)
        places.append(uv)
        costs[number], trusts[number] = torch.where(trust > 0.0, cost, torch.inf), trust
    best, trust = _cheapest(costs, trusts, wanted)
    costs.scatter_(0, best, torch.inf)
    costs[: len(looked_at)][~is_far] = torch.inf
    best, trust = (torch.cat(pair) for pair in zip((best, trust), _cheapest(costs, trusts, wanted_far), strict=True))
    color = render.expand(*best.shape, 3).clone()
    for number, (index, uv) in enumerate(zip(looked_at, places, strict=True)):
        shown = (best == number) & (trust > 0.0)
        if shown.any():
            uv = uv.expand(*best.shape, 2)[shown]
            found = sample_image(source.view(index).image, uv[None], "bicubic")[0]
            color[shown] = (found if exposure is None else found * exposure[0] + exposure[1]).clamp(0.0, 1.0)
    return color, trust


def _cheapest(
    costs: Float[Tensor, "v h w"], trusts: Float[Tensor, "v h w"], count: int
) -> tuple[Int[Tensor, "n h w"], Float[Tensor, "n h w"]]:
    """The views of least cost of every pixel, and their trust: none where the cost is infinite."""
    best = costs.topk(count, dim=0, largest=False).indices
    return best, torch.where(costs.gather(0, best).isfinite(), trusts.gather(0, best), 0.0)


def look_up(
    view: RecordedView, points: Float[Tensor, "h w 3"], centre: Float[Tensor, 3]
) -> tuple[Float[Tensor, "h w 2"], Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """World points, seen from `centre`, in one recorded view: their place in its picture, what speaks against that view
    (radians: angle between the rays and COARSER_WEIGHT per lost resolution), and trust in [0, 1]: 0 where the view
    does not show the point, falling with the cost and with the disagreement in depth."""
    sighting = sight(points, view.camera)
    # inverse depth is linear in the picture on any plane
    planes = torch.stack([1.0 / torch.where(view.depth_m > 0.0, view.depth_m, FAR_M), view.is_valid.float()], dim=-1)
    inverse_depth, is_valid = sighting.sample(planes).unbind(-1)
    apart = (sighting.z_m * inverse_depth - 1.0).abs() / DEPTH_TOLERANCE
    shown = sighting.is_inside & (is_valid > 0.99) & (apart < 1.0)
    cost = viewing_cost(points, centre, view.camera.world_from_camera[:3, 3])
    trust = torch.exp(-2.0 * cost) * (1.0 - apart.square())
    return sighting.uv, cost, torch.where(shown, trust.clamp(0.0, 1.0), 0.0)


def viewing_cost(
    points: Float[Tensor, "*n 3"], centre: Float[Tensor, 3], other_centre: Float[Tensor, "*m 3"]
) -> Float[Tensor, "*places"]:
    """What speaks against seeing points from `other_centre` in place of `centre`, in radians: the angle between the
    rays, and COARSER_WEIGHT for every time that it is farther away. Several other centres broadcast against the points.
    """
    from_new, from_old = points - centre, points - other_centre
    near, far = from_new.norm(dim=-1).clamp_min(1e-6), from_old.norm(dim=-1)
    cosine = (from_new * from_old).sum(-1) / (near * far).clamp_min(1e-6)
    return torch.acos(cosine.clamp(-1.0, 1.0)) + COARSER_WEIGHT * (far / near - 1.0).clamp_min(0.0)
