"""Draws the drive from above: the ego's way, the cameras' views, boxes with their ways, and the LiDAR's outline."""

from __future__ import annotations

import io

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from faithfusion.check.draw import class_color
from faithfusion.check.evidence import Evidence, spread
from faithfusion.check.scan_match import upright_points
from faithfusion.types import Camera

MARGIN_M = 30.0  # of the map around the ego's way
OUTLINE_SCANS = 8
VIEW_M = 12.0  # length of a drawn camera view
ARROWS = 12
CAMERA_COLORS = ("#0072b2", "#d55e00", "#008a64", "#9a5a91", "#b58900", "#56b4e9", "#444444", "#c44e52")


def draw_overhead(evidence: Evidence) -> Float[Tensor, "h w 3"]:
    """A map in the clip's world: x to the right, y up, metres."""
    places = evidence.positions[:, :2]
    low, high = places.min(0) - MARGIN_M, places.max(0) + MARGIN_M
    width, height = high - low
    figure = Figure(figsize=(12.0, float(np.clip(12.0 * height / width, 4.0, 12.0)) + 0.6), dpi=110)
    axes = figure.add_subplot()
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axes.set(xlabel="x in m (forward at the first frame)", ylabel="y in m (left)")
    axes.grid(True, color="#e4e4e0", linewidth=0.6)
    _draw_outline(axes, evidence)
    _draw_boxes(axes, evidence)
    _draw_way(axes, evidence)
    for color, name in zip(_cycle(len(evidence.clip.camera_names)), evidence.clip.camera_names, strict=True):
        _draw_view(axes, evidence.clip.frame(0, name).camera, name, color)
    axes.legend(loc="upper left", fontsize=8, framealpha=0.9)
    figure.tight_layout()
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return torch.from_numpy(np.array(Image.open(buffer).convert("RGB"))).float() / 255.0


def _cycle(count: int) -> list[str]:
    return [CAMERA_COLORS[i % len(CAMERA_COLORS)] for i in range(count)]


def _draw_outline(axes: Axes, evidence: Evidence) -> None:
    for t in spread(evidence.scan_times, OUTLINE_SCANS):
        pose = evidence.clip.world_from_ego[t].double().numpy()
        points = upright_points(evidence.points_ego(t)) @ pose[:3, :3].T + pose[:3, 3]
        axes.plot(points[:, 0], points[:, 1], ",", color="#8a8a92", alpha=0.5, zorder=1)
    if evidence.scan_times:
        axes.plot([], [], ".", color="#8a8a92", label="LiDAR, what stands up")


def _draw_way(axes: Axes, evidence: Evidence) -> None:
    places, rotations = evidence.positions, evidence.clip.world_from_ego[:, :2, 0].double().numpy()
    axes.plot(places[:, 0], places[:, 1], "-", color="#1c1c1e", linewidth=1.6, zorder=4, label="the ego's way")
    for t in spread(list(range(len(places))), ARROWS):
        tip = 2.5 * rotations[t]
        axes.annotate(
            "",
            xy=tuple(places[t, :2] + tip),
            xytext=tuple(places[t, :2]),
            arrowprops={"arrowstyle": "-|>", "color": "#1c1c1e", "linewidth": 1.0},
            zorder=5,
        )
    axes.plot(*places[0, :2], "o", color="#1c1c1e", markersize=6, zorder=6, label="first frame")


def _draw_view(axes: Axes, camera: Camera, name: str, color: str) -> None:
    """The horizontal field of view as a triangle, from the middle row of the image."""
    matrix, pose = camera.intrinsics.double().numpy(), camera.world_from_camera.double().numpy()
    columns = np.array([[0.0, matrix[1, 2], 1.0], [camera.width, matrix[1, 2], 1.0]])
    rays = columns @ np.linalg.inv(matrix).T @ pose[:3, :3].T
    corners = pose[:2, 3] + VIEW_M * rays[:, :2] / np.linalg.norm(rays, axis=1, keepdims=True)
    outline = np.stack([pose[:2, 3], *corners])
    axes.fill(outline[:, 0], outline[:, 1], color=color, alpha=0.15, zorder=2)
    axes.plot(*np.vstack([outline, outline[:1]]).T, color=color, linewidth=1.0, zorder=3, label=f"camera {name}")


def _draw_boxes(axes: Axes, evidence: Evidence) -> None:
    seen: set[str] = set()
    for track in evidence.clip.tracks:
        color = tuple(0.8 * channel / 255.0 for channel in class_color(track.class_name))
        poses = track.world_from_box.double().numpy()
        if track.is_moving:
            axes.plot(poses[:, 0, 3], poses[:, 1, 3], "-", color=color, linewidth=1.0, zorder=3)
        pose, size = poses[len(poses) // 2], track.size_m.double().numpy()
        # outline, then from the middle to the front: the heading
        unit = np.array([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, 0.0], [0.0, 0.0]])
        corners = (unit * size[:2]) @ pose[:2, :2].T + pose[:2, 3]
        label = None if track.class_name in seen else f"{track.class_name} (line: its way)"
        axes.plot(corners[:, 0], corners[:, 1], "-", color=color, linewidth=1.4, zorder=4, label=label)
        seen.add(track.class_name)
