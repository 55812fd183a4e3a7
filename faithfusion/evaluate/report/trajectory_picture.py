"""A new trajectory from above, beside the recorded path, and how it differs from it along the drive."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation

from faithfusion.data.lidar import load_points_world
from faithfusion.data.new_path import NewPath, driven_m, path_cameras
from faithfusion.data.path_hits import PathHit, box_index, box_outline, ego_outline, warning_line
from faithfusion.types import Camera, DriveClip, Track

WIDTH_IN, CHARTS_IN, HEADING_IN, DPI = 11.0, 2.3, 0.75, 110
MIN_PLAN_IN, MAX_PLAN_IN = 2.4, 9.0
RECORDED, NEW, HEADING, BOXES, HIT = "#0072b2", "#d55e00", "#3a2a1a", "#008a64", "#cc0033"
BESIDE_M, BEYOND_M = 14.0, 12.0
"""How much of the surroundings is shown beside the paths and beyond their ends, metres."""
GROUND_BAND_M = (-3.0, 4.0)
"""LiDAR points this far below and above the ego's origin are drawn; trees and roofs would hide the street."""
MAX_POINTS = 60_000
NUM_HEADINGS = 12
TITLE_COLUMNS, WARNING_COLUMNS = 120, 150
METRES_BETWEEN_LABELS = 10.0


def draw_preview(
    clip: DriveClip, camera_name: str, path: NewPath, hits: Sequence[PathHit] = ()
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns `preview_figure` as pixels."""
    canvas = FigureCanvasAgg(preview_figure(clip, camera_name, path, hits))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def preview_figure(clip: DriveClip, camera_name: str, path: NewPath, hits: Sequence[PathHit] = ()) -> Figure:
    """Draws both paths from above with headings of one camera, LiDAR points, tracked boxes and a scale, and below them
    the offset, the height and the yaw of the new path over the metres driven. `hits` are marked on both."""
    turn = _plan_turn(path)
    bounds = _plan_bounds(path, turn)
    aspect = (bounds[1, 1] - bounds[0, 1]) / (bounds[1, 0] - bounds[0, 0])
    plan_in = float(np.clip(0.94 * WIDTH_IN * aspect, MIN_PLAN_IN, MAX_PLAN_IN))
    figure = Figure(figsize=(WIDTH_IN, plan_in + CHARTS_IN + HEADING_IN), dpi=DPI, layout="constrained")
    figure.suptitle(textwrap.fill(f"{clip.name}: {path.title}", TITLE_COLUMNS), fontsize=11)
    rows = figure.add_gridspec(2, 3, height_ratios=[plan_in, CHARTS_IN])
    plan = figure.add_subplot(rows[0, :])
    _draw_surroundings(plan, clip, turn)
    _draw_paths(plan, path, turn, hits)
    _draw_headings(plan, path_cameras(clip, camera_name, path), turn, f"heading of camera {camera_name}")
    plan.set(xlim=bounds[:, 0], ylim=bounds[:, 1], aspect="equal", xticks=[], yticks=[])
    _draw_scale(plan, bounds)
    plan.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=8, ncols=4, frameon=False, borderaxespad=0.2)
    _draw_charts([figure.add_subplot(rows[1, column]) for column in range(3)], path, hits)
    if hits:
        figure.supxlabel(textwrap.fill(warning_line(hits), WARNING_COLUMNS), fontsize=8.5, color=HIT)
    return figure


def path_difference(path: NewPath) -> Float[np.ndarray, "t 4"]:
    """Returns the metres forward, left and up and the degrees to the left from the recorded ego pose to the new one,
    per time stamp, in the axes of the recorded ego."""
    between = np.linalg.inv(path.recorded) @ path.world_from_ego()
    yaw = Rotation.from_matrix(between[:, :3, :3]).as_euler("ZYX", degrees=True)[:, 0]
    return np.concatenate([between[:, :3, 3], yaw[:, None]], axis=1)


def _plan_turn(path: NewPath) -> Float[np.ndarray, "2 2"]:
    """Turns the plan so that the drive goes from left to right."""
    ahead = path.recorded[-1, :2, 3] - path.recorded[0, :2, 3]
    if np.linalg.norm(ahead) < 1.0:
        ahead = path.recorded[0, :2, 0]
    x, y = ahead / np.linalg.norm(ahead)
    return np.array([[x, y], [-y, x]])


def _plan_bounds(path: NewPath, turn: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "2 2"]:
    """Lower and upper corner of what is drawn, metres."""
    both = np.concatenate([path.recorded, path.world_from_ego()])[:, :2, 3] @ turn.T
    margin = np.array([BEYOND_M, BESIDE_M])
    return np.stack([both.min(0) - margin, both.max(0) + margin])


def _draw_surroundings(axes: Axes, clip: DriveClip, turn: Float[np.ndarray, "2 2"]) -> None:
    points = _ground_plan(clip) @ turn.T
    axes.scatter(*points.T, s=0.6, c="0.72", linewidths=0, rasterized=True, zorder=1)
    _draw_tracks(axes, clip.tracks, clip.num_frames, turn)


def _draw_paths(axes: Axes, path: NewPath, turn: Float[np.ndarray, "2 2"], hits: Sequence[PathHit]) -> None:
    """Both paths, the recorded one with its metres driven, and the car's outline where the new one hits something."""
    poses, along = path.world_from_ego(), driven_m(path.recorded)
    old, new = path.recorded[:, :2, 3] @ turn.T, poses[:, :2, 3] @ turn.T
    axes.plot(*old.T, color=RECORDED, lw=1.6, label="recorded path, m driven", zorder=4)
    axes.plot(*new.T, color=NEW, lw=1.8, label="new path", zorder=5)
    side = 1 if path_difference(path)[:, 1].mean() < 0 else -1  # labels lie on the side where the new path is not
    for metres in np.arange(0.0, along[-1], METRES_BETWEEN_LABELS):
        place = [np.interp(metres, along, old[:, axis]) for axis in (0, 1)]
        axes.plot(*place, ".", color=RECORDED, ms=5, zorder=5)
        style = {"color": RECORDED, "fontsize": 8, "ha": "center", "va": "top" if side < 0 else "bottom"}
        axes.annotate(f"{metres:.0f}", place, (0, 4 * side), textcoords="offset points", **style)
    for hit in hits:
        inside = (along >= hit.from_m) & (along <= hit.to_m)
        outlines = [ego_outline(pose) @ turn.T for pose in poses[inside]]
        axes.add_collection(PolyCollection(outlines, facecolors="none", edgecolors=HIT, linewidths=0.8, zorder=7))


def _draw_headings(axes: Axes, cameras: Sequence[Camera], turn: Float[np.ndarray, "2 2"], label: str) -> None:
    """Where a camera looks, at times spread evenly over the clip."""
    shown = np.unique(np.linspace(0, len(cameras) - 1, NUM_HEADINGS).round().astype(int))
    poses = np.stack([cameras[t].world_from_camera.double().numpy() for t in shown])
    places, directions = poses[:, :2, 3] @ turn.T, poses[:, :2, 2] @ turn.T
    style = {"angles": "xy", "scale_units": "xy", "scale": 0.28, "width": 0.0022, "zorder": 6}
    axes.quiver(*places.T, *directions.T, color=HEADING, label=label, **style)


def _draw_tracks(axes: Axes, tracks: Sequence[Track], num_frames: int, turn: Float[np.ndarray, "2 2"]) -> None:
    """Paths of moving boxes with their outline at the middle of the clip, and outlines of those that stand."""
    label = "tracked boxes"
    for track in tracks:
        if track.is_moving:
            centres = track.world_from_box[:, :2, 3].double().numpy() @ turn.T
            axes.plot(*centres.T, color=BOXES, lw=1.0, ls=(0, (4, 2)), label=label, zorder=3)
            label = None
        index = box_index(track, num_frames // 2)
        outline = box_outline(track, len(track.time_indices) // 2 if index is None else index) @ turn.T
        axes.fill(*outline.T, facecolor=BOXES, alpha=0.25, edgecolor=BOXES, lw=0.8, label=label, zorder=2)
        label = None


def _ground_plan(clip: DriveClip) -> Float[np.ndarray, "n 2"]:
    """World x and y of at most `MAX_POINTS` LiDAR points of the clip around the ego's height."""
    parts = []
    for t in range(clip.num_frames):
        points, pose = load_points_world(clip, t).double().numpy(), clip.world_from_ego[t].double().numpy()
        height = (points - pose[:3, 3]) @ pose[:3, 2]
        points = points[(height > GROUND_BAND_M[0]) & (height < GROUND_BAND_M[1]), :2]
        parts.append(points[:: max(1, len(points) * clip.num_frames // MAX_POINTS)])
    return np.concatenate(parts)


def _draw_scale(axes: Axes, bounds: Float[np.ndarray, "2 2"]) -> None:
    """A bar of a round number of metres in the lower left corner."""
    low, size = bounds[0], bounds[1] - bounds[0]
    length = max(tick for tick in (1, 2, 5, 10, 20, 50, 100, 200) if tick <= max(0.2 * size[0], 1.0))
    x, y = low[0] + 0.02 * size[0], low[1] + 0.07 * size[1]
    axes.plot([x, x + length], [y, y], color="black", lw=3, solid_capstyle="butt", zorder=8)
    box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.0}
    axes.text(x + length + 0.01 * size[0], y, f"{length} m", va="center", fontsize=9, bbox=box, zorder=8)


def _draw_charts(columns: Sequence[Axes], path: NewPath, hits: Sequence[PathHit]) -> None:
    along, difference = driven_m(path.recorded), path_difference(path)
    charts = {
        "to the left, m": difference[:, 1],
        "up, m": difference[:, 2],
        "yaw to the left, degrees": difference[:, 3],
    }
    for axes, (label, values) in zip(columns, charts.items(), strict=True):
        axes.plot(along, values, color=NEW, lw=1.8)
        if label.startswith("to the left") and np.abs(difference[:, 0]).max() > 0.05:
            axes.plot(along, difference[:, 0], color=NEW, lw=1.2, ls=":", label="ahead, m")
            axes.legend(fontsize=8)
        axes.axhline(0.0, color=RECORDED, lw=1.2, zorder=1)
        for hit in hits:
            axes.axvspan(hit.from_m, hit.to_m, color=HIT, alpha=0.12, lw=0)
        axes.set_xlabel("driven, m", fontsize=9)
        axes.set_title(label, fontsize=9, loc="left")
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        low, high = axes.get_ylim()
        if high - low < 1.0:  # a difference of a millimetre is none
            axes.set_ylim(min(low, -0.6), max(high, 0.6))
