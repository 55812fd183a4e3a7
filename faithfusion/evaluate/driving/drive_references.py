"""References of drives: vehicles of any drive with boxes, and of a procedural street its lines too."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.data.drive_reader import clip_from_dataset_world
from faithfusion.data.lidar import load_points_world
from faithfusion.evaluate.driving.agent_references import AgentReferences, agent_references, vehicles_at
from faithfusion.street.road_lines import read_street_config, road_lines
from faithfusion.street.street_plan import plan_street
from faithfusion.types import Camera, DriveClip, Frame
from faithfusion.utils.errors import InputError


def require_labels(clip: DriveClip) -> None:
    """Raises InputError for a drive without boxes or without LiDAR, of which NTA-IoU knows nothing."""
    for part in ("boxes", "lidar"):
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


def street_lines(root: Path) -> list[Float[Tensor, "_ 3"]]:
    """Returns the lines of a street, from its own plan, in the world of its `DriveClip`. InputError if it is none."""
    lines = [torch.from_numpy(line) for line in road_lines(plan_street(read_street_config(root)))]
    to_clip = torch.from_numpy(clip_from_dataset_world(root))
    return [(line @ to_clip[:3, :3].T + to_clip[:3, 3]).float() for line in lines]
