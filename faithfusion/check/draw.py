"""Draws on the images what was understood: LiDAR points coloured by depth, boxes with class and heading."""

from __future__ import annotations

import math

import matplotlib
import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from faithfusion.check.evidence import Evidence, spread
from faithfusion.data.images import load_image
from faithfusion.data.lidar import project_points
from faithfusion.evaluate.report.panels import BACKGROUND, TEXT, side_by_side
from faithfusion.types import Camera, Frame, Track
from faithfusion.utils.media import to_uint8

DEPTH_RANGE_M = (3.0, 80.0)  # of the colours, on a logarithmic scale
DEPTH_TICKS_M = (3, 5, 10, 20, 40, 80)
DEPTH_MAP = "turbo"
PICTURES = 4  # per camera
WIDTH_PX = 960  # smaller images are enlarged to about this
NEAR_M = 0.3  # boxes are cut off in front of the camera here
CLASS_COLORS = {"vehicle": (255, 170, 0), "pedestrian": (80, 230, 120), "cyclist": (255, 90, 220)}
OTHER_COLOR = (235, 235, 235)

# corners of a box are numbered by the bits x, y, z: 0 = rear right bottom, 7 = front left top
EDGES = tuple((i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit)
HEADING = ((0.0, 0.0, -0.5), (0.5, 0.0, -0.5))  # on the bottom, from the middle to the front


def draw_camera(evidence: Evidence, name: str) -> Float[Tensor, "h w 3"]:
    """A sheet [h, w, 3] of a few images of one camera with points and boxes, and the scale of depth below."""
    times = spread(evidence.scan_times or list(range(evidence.clip.num_frames)), PICTURES)
    panels = {f"camera {name}, frame {t}": draw_frame(evidence, evidence.clip.frame(t, name))[None] for t in times}
    sheet = side_by_side(panels)[0]
    bar = torch.from_numpy(depth_bar(sheet.shape[1])).float() / 255.0
    return torch.cat([sheet, bar])


def draw_frame(evidence: Evidence, frame: Frame) -> Float[Tensor, "h w 3"]:
    """One image, enlarged, with the points of its time stamp's scan and its boxes."""
    scale = max(1, round(WIDTH_PX / frame.camera.width))
    picture = Image.fromarray(to_uint8(load_image(frame)))
    picture = picture.resize((frame.camera.width * scale, frame.camera.height * scale), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    _draw_points(draw, evidence.points_world(frame.time_index), frame.camera, scale)
    for track in evidence.clip.tracks:
        for i in np.flatnonzero(track.time_indices.numpy() == frame.time_index):
            _draw_box(draw, track, track.world_from_box[i].double().numpy(), frame.camera, scale)
    return torch.from_numpy(np.array(picture)).float() / 255.0


def depth_colors(depth_m: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
    """Colours of depths, 0 to 255."""
    low, high = DEPTH_RANGE_M
    level = np.log(np.clip(depth_m, low, high) / low) / math.log(high / low)
    return (255 * matplotlib.colormaps[DEPTH_MAP](1.0 - level)[:, :3]).round()


def _draw_points(draw: ImageDraw.ImageDraw, points: Float[Tensor, "n 3"], camera: Camera, scale: int) -> None:
    uv, depth, inside = project_points(points, camera)
    order = torch.argsort(depth[inside], descending=True)
    at, depths = (scale * uv[inside][order]).numpy(), depth[inside][order].numpy()
    radius = max(1, round(camera.width * scale / 500))
    for (x, y), color in zip(at, depth_colors(depths).astype(int), strict=True):
        draw.rectangle((x - radius, y - radius, x + radius - 1, y + radius - 1), fill=tuple(color))


def _draw_box(draw: ImageDraw.ImageDraw, track: Track, pose: np.ndarray, camera: Camera, scale: int) -> None:
    corners = np.array([[(i & 1) - 0.5, (i >> 1 & 1) - 0.5, (i >> 2 & 1) - 0.5] for i in range(8)])
    camera_from_box = camera.camera_from_world.double().numpy() @ pose
    size = track.size_m.double().numpy()
    matrix = scale * camera.intrinsics.double().numpy()[:2]

    def place(unit: np.ndarray) -> np.ndarray:
        return (unit * size) @ camera_from_box[:3, :3].T + camera_from_box[:3, 3]

    color = class_color(track.class_name)
    width = max(2, round(camera.width * scale / 500))
    for begin, end in EDGES:
        _draw_segment(draw, place(corners[[begin, end]]), matrix, color, width)
    _draw_segment(draw, place(np.array(HEADING)), matrix, color, 2 * width)
    top = place(np.array([[0.0, 0.0, 0.5]]))[0]
    if top[2] > NEAR_M:
        x, y = matrix @ (top / top[2])
        if 0 <= x < camera.width * scale and 0 <= y < camera.height * scale:
            outline = {"stroke_width": 2, "stroke_fill": BACKGROUND}
            draw.text(
                (x, y), f"{track.class_name} {track.track_id}", fill=color, font=_font(13), anchor="mb", **outline
            )


def class_color(class_name: str) -> tuple[int, int, int]:
    """Colour of a class, 0 to 255."""
    return CLASS_COLORS.get(class_name.lower(), OTHER_COLOR)


def _draw_segment(
    draw: ImageDraw.ImageDraw, ends: np.ndarray, matrix: np.ndarray, color: tuple[int, int, int], width: int
) -> None:
    a, b = ends
    if max(a[2], b[2]) <= NEAR_M:
        return
    if min(a[2], b[2]) < NEAR_M:
        behind, front = (a, b) if a[2] < b[2] else (b, a)
        a, b = behind + (NEAR_M - behind[2]) / (front[2] - behind[2]) * (front - behind), front
    draw.line([tuple(matrix @ (point / point[2])) for point in (a, b)], fill=color, width=width)


def depth_bar(width: int) -> np.ndarray:
    """The scale of depth as a strip [40, width, 3] uint8."""
    low, high = DEPTH_RANGE_M
    left, right = 20, min(width - 60, 620)
    strip = Image.new("RGB", (width, 40), BACKGROUND)
    depths = low * (high / low) ** np.linspace(0.0, 1.0, right - left)
    strip.paste(Image.fromarray(np.tile(depth_colors(depths).astype(np.uint8), (10, 1, 1))), (left, 6))
    draw = ImageDraw.Draw(strip)
    for tick in DEPTH_TICKS_M:
        x = left + math.log(tick / low) / math.log(high / low) * (right - left)
        draw.text((x, 20), f"{tick}", fill=TEXT, font=_font(13), anchor="ma")
    draw.text((right + 20, 20), "m", fill=TEXT, font=_font(13), anchor="ma")
    return np.array(strip)


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
