"""Poses of moving objects, their brightness and the shapes of people, refined together with the Gaussians.

Tracked boxes are a few centimetres and degrees off, and every view then pulls the object's Gaussians elsewhere. The
corrections are functions of time, linear between knots: a pose is seen in a handful of images only, and time stamps
that are kept back must be right too. A correction acts in node coordinates: world_from_node exp(turn) shift.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import Parameter

from faithfusion.fit.fit_config import MotionConfig, RigPoseConfig
from faithfusion.types import RigidNode

SHAPE_KNOT_FRAMES, LIGHT_KNOT_FRAMES = 2, 3
"""Time stamps between two knots of a shape, and of an object's brightness."""
SHIFT_LR_M, TURN_LR_RAD = 1e-3, 3e-4
"""Learning rates of the corrections of a pose (Adam)."""
RIG_TURN_LR_RAD = 2e-4
"""The same of the turn of the recording vehicle."""


@dataclass(frozen=True)
class Knots:
    """Linear interpolation of one row per (node, time stamp) between rows of knots."""

    left: Int[Tensor, " s"]
    right: Int[Tensor, " s"]
    fraction: Float[Tensor, " s"]
    count: int

    def at(self, values: Float[Tensor, "m ..."], rows: Tensor | slice = slice(None)) -> Float[Tensor, "s ..."]:
        """Knot values interpolated at `rows`; differentiable in the values."""
        fraction = self.fraction[rows].to(values).reshape(-1, *[1] * (values.ndim - 1))
        return (1.0 - fraction) * values[self.left[rows]] + fraction * values[self.right[rows]]


def make_knots(times: Sequence[Int[Tensor, " _"]], knot_frames: int) -> Knots:
    """Knots every `knot_frames` time stamps for each of several time axes (one per node), one after the other."""
    left, right, fraction, count = [], [], [], 0
    for time_indices in times:
        place = (time_indices - time_indices[0]).double() / knot_frames
        number = int(place[-1].ceil()) + 1
        low = place.floor().long()
        left.append(low + count)
        right.append((low + 1).clamp_max(number - 1) + count)
        fraction.append(place - low)
        count += number
    if not times:
        return Knots(torch.zeros(0).long(), torch.zeros(0).long(), torch.zeros(0), 0)
    return Knots(torch.cat(left), torch.cat(right), torch.cat(fraction).float(), count)


class NodeMotion:
    """Nodes with their corrections; `parameters` are what an optimiser steps, named after `prefix`."""

    def __init__(
        self, nodes: Sequence[RigidNode], config: MotionConfig, device: torch.device | str = "cpu", prefix: str = "node"
    ) -> None:
        self.base = tuple(nodes)
        times = [node.time_indices.cpu() for node in self.base]
        shaped = [time for time, node in zip(times, self.base, strict=True) if node.handles_m is not None]
        self._poses = make_knots(times, config.pose_knot_frames)
        self._shapes = make_knots(shaped, SHAPE_KNOT_FRAMES)
        self._lights = make_knots(times, LIGHT_KNOT_FRAMES)
        self._starts = torch.tensor([0, *(len(time) for time in times)]).cumsum(0).tolist()
        counts = [len(node.time_indices) if node.handles_m is not None else 0 for node in self.base]
        self._shape_starts = torch.tensor([0, *counts]).cumsum(0).tolist()
        num_handles = next((len(node.handles_m) for node in self.base if node.handles_m is not None), 0)
        self._shifts = Parameter(torch.zeros(self._poses.count, 3, device=device))
        self._turns = Parameter(torch.zeros(self._poses.count, 3, device=device))
        self._handles = Parameter(torch.zeros(self._shapes.count, num_handles, 3, device=device))
        self._with_light = config.gain_lr > 0
        self._gains = Parameter(torch.zeros(self._lights.count, 3, device=device))
        parts = {"shifts": self._shifts, "turns": self._turns, "handles": self._handles, "gains": self._gains}
        self.parameters = {f"{prefix}_{name}": value for name, value in parts.items()}

    def nodes(self) -> tuple[RigidNode, ...]:
        """All nodes at all their time stamps, corrected; differentiable in `parameters`."""
        return self._corrected([torch.arange(len(node.time_indices)) for node in self.base])

    def nodes_at(self, time_index: int) -> tuple[RigidNode, ...]:
        """The same, with no other time stamp than this one: what a step on one view needs."""
        return self._corrected([torch.nonzero(node.time_indices.cpu() == time_index).flatten() for node in self.base])

    def _corrected(self, rows: Sequence[Int[Tensor, " _"]]) -> tuple[RigidNode, ...]:
        """Every node at its `rows` alone; all of them are corrected at once, which saves many small operations."""
        counts = [len(of_node) for of_node in rows]
        here = _shifted(rows, self._starts[:-1])
        correction = rigid_transforms(self._poses.at(self._shifts, here), self._poses.at(self._turns, here))
        poses = torch.cat([node.world_from_node[of_node] for node, of_node in zip(self.base, rows, strict=True)])
        poses = (poses.to(correction) @ correction).split(counts)
        gains = self._lights.at(self._gains, here).split(counts) if self._with_light else [None] * len(counts)
        shaped = [index for index, node in enumerate(self.base) if node.handle_offsets_m is not None]
        offsets: dict[int, Tensor] = {}
        if shaped:
            bent = _shifted([rows[index] for index in shaped], [self._shape_starts[index] for index in shaped])
            parts = self._shapes.at(self._handles, bent).split([counts[index] for index in shaped])
            offsets = dict(zip(shaped, parts, strict=True))
        return tuple(
            dataclasses.replace(
                node,
                time_indices=node.time_indices[of_node],
                world_from_node=poses[index],
                log_gains=_added(node.log_gains, of_node, gains[index]),
                handle_offsets_m=_added(node.handle_offsets_m, of_node, offsets.get(index)),
            )
            for index, (node, of_node) in enumerate(zip(self.base, rows, strict=True))
        )


def _shifted(rows: Sequence[Int[Tensor, " _"]], starts: Sequence[int]) -> Int[Tensor, " r"]:
    """Rows of several axes in the numbering of one that holds them all, one after the other."""
    return torch.cat([of_axis + start for of_axis, start in zip(rows, starts, strict=True)])


def _added(before: Tensor | None, rows: Int[Tensor, " r"], change: Tensor | None) -> Tensor | None:
    """What a node had at `rows`, if anything, and what was learnt about it, if anything."""
    if before is None or change is None:
        return change if before is None else before[rows]
    return before[rows].to(change) + change


def node_rates(config: MotionConfig) -> dict[str, float]:
    """Learning rate of every parameter of the `NodeMotion` of objects and people."""
    rates = {"shifts": SHIFT_LR_M, "turns": TURN_LR_RAD, "handles": config.handle_lr_m, "gains": config.gain_lr}
    return {f"node_{name}": rate for name, rate in rates.items()}


def rig_motion(
    ego: RigidNode, config: RigPoseConfig, device: torch.device | str
) -> tuple[NodeMotion, dict[str, float]]:
    """The correction of the recording vehicle, that of a node without Gaussians, and its learning rates."""
    motion = NodeMotion([ego], MotionConfig(config.knot_frames, handle_lr_m=0.0, gain_lr=0.0), device, "rig")
    rates = {"shifts": config.shift_lr_m, "turns": RIG_TURN_LR_RAD, "handles": 0.0, "gains": 0.0}
    return motion, {f"rig_{name}": rate for name, rate in rates.items()}


def rigid_transforms(shift_m: Float[Tensor, "n 3"], turn_rad: Float[Tensor, "n 3"]) -> Float[Tensor, "n 4 4"]:
    """[exp(turn) | shift], the turn a rotation vector; differentiable at 0."""
    zero = torch.zeros_like(turn_rad[:, 0])
    x, y, z = turn_rad.unbind(-1)
    rows = [torch.stack(row, -1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    rotation = torch.linalg.matrix_exp(torch.stack(rows, -2))
    top = torch.cat([rotation, shift_m[..., None]], -1)
    bottom = torch.tensor([0.0, 0.0, 0.0, 1.0]).to(top).expand(len(top), 1, 4)
    return torch.cat([top, bottom], 1)
