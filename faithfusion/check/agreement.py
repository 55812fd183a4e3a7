"""Measures whether LiDAR points keep their brightness from one image to another. This one number needs calibration,
poses, scans and images to be right all at once, and no learning.

A point seen in two images looks alike in both. The correlation of the two images' contrast over the points of a scan is
0.7 to 0.98 for a sound drive and falls to 0.0 to 0.6 for a wrong one (photo-consistency; compare Kutulakos and Seitz
2000). Contrast means without slow shading, so that "sky above, road below" does not count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.check.evidence import Evidence, without_shading
from faithfusion.data.images import load_image
from faithfusion.data.lidar import project_points
from faithfusion.types import Camera

SHADING_SHARE = 1 / 60  # radius of the blur that is taken away, in image widths
CELL_PX = 3  # a point is hidden if another one in its cell is clearly nearer
HIDDEN_SHARE, HIDDEN_M = 0.05, 0.2
WORK_PX = 480  # largest width at which images are compared with LiDAR, pixels
COLOR_TRAVEL_M = 2.5  # ego motion between two images compared through LiDAR points, metres
MIN_COLOR_POINTS = 100  # points seen in both images, fewer say nothing
MIN_TEXTURE = 0.005  # contrast of an image at the points, below which it says nothing


@dataclass(frozen=True)
class View:
    """An image's contrast and its camera at working size, and the ego's pose at which it was taken."""

    contrast: Float[Tensor, "h w"]
    camera: Camera
    world_from_ego: Float[Tensor, "4 4"]


@dataclass(frozen=True)
class Pair:
    """Two views and the scan of the first one's time stamp, in the clip's world."""

    first: View
    second: View
    points_world: Float[Tensor, "n 3"]


Reading = Callable[[Pair], Pair]  # what the files would mean if they were read in another way


class ViewShelf:
    """Views of the drive, each read once."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._views: dict[tuple[int, str], View] = {}

    def view(self, t: int, name: str) -> View:
        """The view of one camera at one time stamp."""
        if (t, name) not in self._views:
            self._views[t, name] = self._read(t, name)
        return self._views[t, name]

    def _read(self, t: int, name: str) -> View:
        clip, frame = self._evidence.clip, self._evidence.clip.frame(t, name)
        image = load_image(frame).mean(-1)
        camera = resize_camera(frame.camera, min(WORK_PX, frame.camera.width))
        small = F.interpolate(image[None, None], (camera.height, camera.width), mode="area")[0]
        contrast = without_shading(small, max(2, round(camera.width * SHADING_SHARE)))[0]
        return View(contrast, camera, clip.world_from_ego[t])


def resize_camera(camera: Camera, width: int) -> Camera:
    """The camera of the same picture at another width."""
    return camera.resized(width, max(1, round(camera.height * width / camera.width)))


def pairs_in_time(evidence: Evidence, shelf: ViewShelf, name: str) -> list[Pair]:
    """Pairs of one camera with itself, `COLOR_TRAVEL_M` apart, where there is a scan."""
    return [
        Pair(shelf.view(t, name), shelf.view(s, name), evidence.points_world(t))
        for t, s in evidence.moving_pairs(COLOR_TRAVEL_M)
        if evidence.clip.lidar_paths[t] is not None
    ]


def pairs_across(evidence: Evidence, shelf: ViewShelf, names: tuple[str, str]) -> list[Pair]:
    """Pairs of two cameras at one time stamp each."""
    return [
        Pair(shelf.view(t, names[0]), shelf.view(t, names[1]), evidence.points_world(t))
        for t in evidence.sample_scans()
    ]


def agreement(pairs: list[Pair], reading: Reading | None = None) -> float | None:
    """Median correlation over the pairs that say something; None if none does, 0 if a reading leaves no points."""
    found = [correlation(pair if reading is None else reading(pair)) for pair in pairs]
    values = [value for value in found if value is not None]
    return float(torch.tensor(values).median()) if values else None


def correlation(pair: Pair) -> float | None:
    """Correlation of the contrast at the points both views see; None for too few points or images without contrast."""
    uv_first, seen_first = visible_points(pair.points_world, pair.first.camera)
    uv_second, seen_second = visible_points(pair.points_world, pair.second.camera)
    both = seen_first & seen_second
    if int(both.sum()) < MIN_COLOR_POINTS:
        return None
    a, b = sample(pair.first.contrast, uv_first[both]), sample(pair.second.contrast, uv_second[both])
    a, b = a - a.mean(), b - b.mean()
    if min(a.std(), b.std()) < MIN_TEXTURE:
        return None
    return float((a * b).mean() / (a.std(correction=0) * b.std(correction=0)))


def near_view(pair: Pair, margin: float = 0.5) -> Pair:
    """The pair without points that lie farther than `margin` image sizes outside the first image."""
    camera = pair.first.camera
    uv, depth, _ = project_points(pair.points_world, camera)
    size = torch.tensor([camera.width, camera.height])
    near = (depth > 0) & (uv > -margin * size).all(-1) & (uv < (1.0 + margin) * size).all(-1)
    return dataclasses.replace(pair, points_world=pair.points_world[near])


def visible_points(
    points_world: Float[Tensor, "n 3"], camera: Camera
) -> tuple[Float[Tensor, "n 2"], Bool[Tensor, " n"]]:
    """(uv in pixels, whether the point is in the image and no other point hides it)."""
    uv, depth, inside = project_points(points_world, camera)
    index = torch.nonzero(inside)[:, 0]
    column, row = (uv[index] / CELL_PX).long().unbind(-1)
    columns, rows = camera.width // CELL_PX + 1, camera.height // CELL_PX + 1
    nearest = torch.full((columns * rows,), torch.inf)
    cell = row * columns + column
    nearest.scatter_reduce_(0, cell, depth[index], reduce="amin")
    seen = torch.zeros(len(points_world), dtype=torch.bool)
    seen[index[depth[index] <= nearest[cell] * (1.0 + HIDDEN_SHARE) + HIDDEN_M]] = True
    return uv, seen


def sample(image: Float[Tensor, "h w"], uv: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
    """Bilinear values of an image at `uv`, pixels with centres at +0.5."""
    height, width = image.shape
    grid = (uv / torch.tensor([width, height]) * 2.0 - 1.0)[None, None]
    return F.grid_sample(image[None, None], grid, padding_mode="border", align_corners=False)[0, 0, 0]
