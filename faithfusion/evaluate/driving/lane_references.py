"""Where lines on the road must appear in a picture from a new pose: polylines, projected and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw
from torch import Tensor

from faithfusion.evaluate.driving.views import hidden_points
from faithfusion.types import Camera

WIDTH, HEIGHT = 640, 360
"""The size, in pixels, at which lane masks are compared: TwinLiteNet's."""
DRAWN_WIDTH, DRAWN_HEIGHT, THICKNESS_PX = 1920, 1280, 20
MAX_DISTANCE_M, MAX_HEIGHT_M = 75.0, 10.0
NEAREST_M = 1.0
SPACING_M = 0.5
MARGIN_SHARE = 0.05
"""Nearer by this share of its distance is before a line: on the ground a pixel spans metres far away."""


@dataclass(frozen=True)
class LaneReference:
    """Lines in the picture of one camera at 640 x 360, without regard to what hides them, and those pixels of them
    that something nearer does hide."""

    lane: Bool[Tensor, "360 640"]
    is_hidden: Bool[Tensor, "360 640"]


def lane_reference(
    lines_world: Sequence[Float[Tensor, "_ 3"]], camera: Camera, depth_m: Float[Tensor, "h w"] | None = None
) -> LaneReference:
    """Returns the lines as the published rule draws them: what lies within 75 m on the ground and 10 m of height of the
    camera, 20 pixels thick at 1920 x 1280, then made as small as the lane net's picture (a pixel counts if half of it
    is covered).

    Lines are in metres, corner by corner. `depth_m` is the true or rendered depth of the camera's picture; without it
    nothing is hidden.
    """
    seen, hidden, camera = [], [], camera.to("cpu")
    for line in lines_world:
        points = resampled(line)
        off = points - camera.world_from_camera[:3, 3]
        is_near = (off[:, :2].norm(dim=-1) <= MAX_DISTANCE_M) & (off[:, 2].abs() <= MAX_HEIGHT_M)
        is_behind = (
            torch.zeros_like(is_near)
            if depth_m is None
            else hidden_points(points, camera, depth_m.cpu(), margin_share=MARGIN_SHARE)
        )
        pixels, in_front = _projected(points, camera)
        is_drawn = is_near & in_front
        seen += _runs(pixels, is_drawn & ~is_behind)
        hidden += _runs(pixels, is_drawn & is_behind, joined_to=is_drawn)
    seen_mask, hidden_mask = draw_lines(seen), draw_lines(hidden)
    return LaneReference(seen_mask | hidden_mask, hidden_mask & ~seen_mask)


def resampled(line: Float[Tensor, "n 3"]) -> Float[Tensor, "m 3"]:
    """Returns a polyline with its corners and points between them, at most half a metre apart."""
    pieces = [line[:1]]
    for start, end in zip(line[:-1], line[1:], strict=True):
        count = max(1, int(np.ceil(float((end - start).norm()) / SPACING_M)))
        pieces.append(start + (torch.arange(1, count + 1)[:, None] / count) * (end - start))
    return torch.cat(pieces)


def long_sides(outline: Float[Tensor, "n 3"]) -> list[Float[Tensor, "_ 3"]]:
    """Returns the long sides of a crosswalk, whose outline is closed: those edges that go rather along the outline's
    main direction than across it, joined where they follow each other."""
    steps = (outline.roll(-1, 0) - outline)[:, :2].double()
    lengths, angles = steps.norm(dim=-1), torch.atan2(steps[:, 1], steps[:, 0])
    # twice the angle, so that an edge and its way back count alike; long edges outweigh short ones
    main = torch.atan2((lengths * (2 * angles).sin()).sum(), (lengths * (2 * angles).cos()).sum())
    is_long = (2 * angles - main).cos() > 0
    if is_long.all():
        return [torch.cat([outline, outline[:1]])]
    first = int((~is_long).nonzero()[0, 0])
    corners, sides, run = outline.roll(-first, 0), [], []
    for edge, goes_along in enumerate([*is_long.roll(-first).tolist(), False]):
        if goes_along:
            run.append(edge)
        elif run:
            sides.append(corners[[*run, (run[-1] + 1) % len(corners)]])
            run = []
    return sides


def _projected(points: Float[Tensor, "n 3"], camera: Camera) -> tuple[Float[Tensor, "n 2"], Bool[Tensor, " n"]]:
    large = camera.resized(DRAWN_WIDTH, DRAWN_HEIGHT)
    camera_from_world = large.camera_from_world
    in_camera = points @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    pixels = (in_camera @ large.intrinsics.T)[:, :2] / in_camera[:, 2:].clamp_min(NEAREST_M)
    return pixels, in_camera[:, 2] >= NEAREST_M


def _runs(
    pixels: Float[Tensor, "n 2"], is_kept: Bool[Tensor, " n"], joined_to: Bool[Tensor, " n"] | None = None
) -> list[Float[Tensor, "_ 2"]]:
    """The pieces of a line whose points are kept, each with the points of `joined_to` just before and after it."""
    runs, n = [], len(pixels)
    change = np.flatnonzero(np.diff(np.concatenate([[0], is_kept.numpy().astype(np.int8), [0]])))
    for start, end in zip(change[::2].tolist(), change[1::2].tolist(), strict=True):
        if joined_to is not None:
            start -= int(start > 0 and bool(joined_to[start - 1]))
            end += int(end < n and bool(joined_to[end]))
        runs.append(pixels[start:end])
    return runs


def draw_lines(lines_px: Sequence[Float[Tensor, "_ 2"]]) -> Bool[Tensor, "360 640"]:
    """Returns lines given in pixels of 1920 x 1280, drawn 20 pixels thick with round ends, at 640 x 360."""
    canvas = Image.new("L", (DRAWN_WIDTH, DRAWN_HEIGHT))
    draw, radius = ImageDraw.Draw(canvas), THICKNESS_PX / 2
    for line in lines_px:
        corners = [tuple(corner) for corner in line.tolist()]
        draw.line(corners, fill=255, width=THICKNESS_PX)
        for x, y in corners:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    small = canvas.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(small) >= 128)
