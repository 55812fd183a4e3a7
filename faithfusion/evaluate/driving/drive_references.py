"""References of drives: the vehicles of any drive with boxes, the lines of any drive with a map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.data.drive_map import CROSSWALK, MAP_FILE, read_drive_map
from faithfusion.data.drive_reader import clip_from_dataset_world
from faithfusion.data.lidar import load_points_world
from faithfusion.evaluate.driving.agent_references import AgentReferences, agent_references, vehicles_at
from faithfusion.evaluate.driving.lane_references import long_sides
from faithfusion.street.road_lines import read_street_config, road_lines
from faithfusion.street.street_plan import plan_street
from faithfusion.street.writer import FACTS as STREET_FACTS
from faithfusion.types import Camera, DriveClip, Frame
from faithfusion.utils.errors import InputError


def require_labels(clip: DriveClip) -> None:
    """Raises InputError for a drive without boxes, or without LiDAR although its boxes do not say how many points lie
    in them: NTA-IoU knows nothing of it."""
    is_counted = all(track.top_points is not None for track in clip.tracks)
    for part in ("boxes",) if is_counted else ("boxes", "lidar"):
        if part in clip.missing:
            raise InputError(clip.root, f"a drive without {part}", "boxes and LiDAR, which NTA-IoU goes by")


def drive_agents(
    clip: DriveClip, frame: Frame, camera: Camera, depth_m: Float[Tensor, "h w"] | None = None
) -> AgentReferences:
    """Returns where the vehicles around a recorded frame must appear from `camera` at the same time stamp.

    `depth_m` is the true or rendered depth of that camera's picture. Raises InputError as `require_labels`.
    """
    require_labels(clip)
    agents = vehicles_at(clip.tracks, frame.time_index)
    return agent_references(agents, camera, frame.camera, load_points_world(clip, frame.time_index), depth_m)


@dataclass(frozen=True)
class RoadLines:
    """The lines on the road of a drive, in the world of its `DriveClip`.

    Attributes:
        source: Where they come from, for tables.
        lines_world: Polylines in metres: painted lines, edges of the road, long sides of crosswalks.
        drift_m: What is to be taken from the lines at each time stamp, because the recorded poses drift; None for exact
            poses.
    """

    source: str
    lines_world: tuple[Float[Tensor, "_ 3"], ...]
    drift_m: Float[Tensor, "t 3"] | None = None

    def at(self, time_index: int) -> list[Float[Tensor, "_ 3"]]:
        """Returns the lines as they lie around the recorded pose of one time stamp."""
        drift = torch.zeros(3) if self.drift_m is None else self.drift_m[time_index]
        return [line - drift for line in self.lines_world]


def drive_road_lines(clip: DriveClip) -> RoadLines | None:
    """Returns the lines of a drive: of a procedural street those of its own plan, else those of the map that was
    written beside it. None if it has neither, which `missing_road_lines` explains.

    Raises InputError for a damaged file of lines, and for one of fewer time stamps than the drive.
    """
    if (clip.root / STREET_FACTS).is_file():
        return RoadLines("the street's own plan", tuple(street_lines(clip.root)))
    drive_map = read_drive_map(clip.root)
    if drive_map is None:
        return None
    to_clip = torch.from_numpy(clip_from_dataset_world(clip.root, clip.layout))
    lines: list[Tensor] = []
    for line in drive_map.lines:
        points = torch.from_numpy(line.points_m) @ to_clip[:3, :3].T + to_clip[:3, 3]
        lines += long_sides(points.float()) if line.kind == CROSSWALK else [points.float()]
    if drive_map.offsets_m is None:
        return RoadLines(drive_map.source, tuple(lines))
    if len(drive_map.offsets_m) < clip.num_frames:
        found = f"offsets of {len(drive_map.offsets_m)} time stamps"
        raise InputError(clip.root / MAP_FILE, found, f"those of the drive's {clip.num_frames}")
    drift = torch.from_numpy(drive_map.offsets_m) @ to_clip[:3, :3].T
    return RoadLines(drive_map.source, tuple(lines), drift.float())


def missing_road_lines(clip: DriveClip) -> str | None:
    """Returns why a drive has no lines, for tables; None if it has some."""
    if (clip.root / STREET_FACTS).is_file() or (clip.root / MAP_FILE).is_file():
        return None
    return f"no {MAP_FILE}, which prepare_waymo (--map) and prepare_py123d write; KITTI's raw drives have no map"


def street_lines(root: Path) -> list[Float[Tensor, "_ 3"]]:
    """Returns the lines of a street, from its own plan, in the world of its `DriveClip`. InputError if it is none."""
    lines = [torch.from_numpy(line) for line in road_lines(plan_street(read_street_config(root)))]
    to_clip = torch.from_numpy(clip_from_dataset_world(root))
    return [(line @ to_clip[:3, :3].T + to_clip[:3, 3]).float() for line in lines]
