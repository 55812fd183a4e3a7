"""What a recorded picture shows, as far as LiDAR tells: road, what stands upright, what LiDAR does not reach, sky."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.data.images import load_sky_mask
from faithfusion.data.lidar import lidar_depth, load_points_world
from faithfusion.scene.coloring import shrink
from faithfusion.scene.ground import Ground, ground_at
from faithfusion.types import DriveClip, Frame

CELL_PX = 8
"""A cell of so many pixels a side is what its nearest return is."""
ROAD_BAND_M = 0.15
"""Returns this near to the ground surface are road: noise of the sensor, camber, errors of the poses."""
BRIGHT_SKY = 0.7
"""Without a sky mask: what is above the topmost return of its column and brighter than this is sky."""
KINDS = ("road", "upright", "beyond LiDAR", "sky")


def surface_kinds(
    clip: DriveClip, frame: Frame, image: Float[Tensor, "h w 3"], ground: Ground | None
) -> dict[str, Bool[Tensor, "h w"]]:
    """Masks of `KINDS`, each pixel in one of them, by the scan of the frame's own time stamp. `clip`, `frame` and
    `ground` in one world; without a scan nothing is road or upright."""
    points = load_points_world(clip, frame.time_index)
    is_road = torch.zeros(len(points), dtype=torch.bool)
    if ground is not None and len(points):
        height_m, _, known = ground_at(ground, points)
        is_road = known & (height_m.abs() < ROAD_BAND_M)
    cells = shrink(frame.camera, CELL_PX)
    road, upright = (lidar_depth(points[chosen], cells) for chosen in (is_road, ~is_road))
    covered = (road > 0.0) | (upright > 0.0)
    nearest_is_road = (road > 0.0) & ((upright == 0.0) | (road <= upright))
    sky = load_sky_mask(frame)
    if sky is None:
        sky = _pixels(covered.int().cumsum(0) == 0, frame) & (image.mean(-1) > BRIGHT_SKY)
    masks = {"road": _pixels(nearest_is_road, frame), "upright": _pixels(covered & ~nearest_is_road, frame)}
    masks["beyond LiDAR"] = ~_pixels(covered, frame)
    return {name: mask & ~sky for name, mask in masks.items()} | {"sky": sky}


def _pixels(cells: Bool[Tensor, "hc wc"], frame: Frame) -> Bool[Tensor, "h w"]:
    full = cells.repeat_interleave(CELL_PX, 0).repeat_interleave(CELL_PX, 1)
    return full[: frame.camera.height, : frame.camera.width]
