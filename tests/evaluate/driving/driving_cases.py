"""A camera that looks along the world's z axis, and cars in front of it, for cases whose values are known by hand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from faithfusion.evaluate.driving.agent_references import AgentReferences, Agents, agent_references
from faithfusion.evaluate.driving.boxes import Detections
from faithfusion.types import Camera

CAMERA = Camera(torch.tensor([[240.0, 0.0, 240.0], [0.0, 240.0, 160.0], [0.0, 0.0, 1.0]]), torch.eye(4), 480, 320)


def cubes(*centres: Sequence[float]) -> Agents:
    """Cubes of 2 m."""
    poses = torch.eye(4).repeat(len(centres), 1, 1)
    poses[:, :3, 3] = torch.tensor(centres).reshape(-1, 3)
    return Agents(poses, torch.full((len(centres), 3), 2.0))


def points_in(agents: Agents, count: int = 10) -> Tensor:
    """`count` points in every box."""
    return (agents.world_from_box[:, None, :3, 3] + torch.linspace(-0.9, 0.9, count)[None, :, None]).reshape(-1, 3)


def references_of(agents: Agents, count: int = 10, depth_m: Tensor | None = None) -> AgentReferences:
    return agent_references(agents, CAMERA, CAMERA, points_in(agents, count), depth_m)


def detections(*boxes: Sequence[float], score: float = 0.9, name: str = "car") -> Detections:
    tensor = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Detections(tensor, torch.full((len(boxes),), score), (name,) * len(boxes), 480, 320)
