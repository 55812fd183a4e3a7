"""The scene graph at one time stamp: every node is posed into the world, people in the shape they have then."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from faithfusion.scene.deform import displacement_m
from faithfusion.types import Gaussians, GaussianScene, RigidNode
from faithfusion.utils.harmonics import SH_0

GAUSSIAN_FIELDS = tuple(field.name for field in dataclasses.fields(Gaussians))
ABSENT_OPACITY_LOGIT = -1e4
"""Opacity logit of a Gaussian whose node does not exist at a time stamp: its opacity is exactly 0 in float32."""


def gaussians_at(scene: GaussianScene, time_index: int) -> Gaussians:
    """All Gaussians of the scene in world coordinates at one time stamp, same number and order as `scene.gaussians`.

    Gaussians of nodes that are absent at `time_index` get opacity logit -1e4, so that every renderer culls them.
    Differentiable in all parameters, node poses and handles. Spherical harmonics stay in world directions (as
    DriveStudio's rigid nodes do): reflections of the sun and the sky do not turn with the car.
    """
    gaussians = scene.gaussians
    if not scene.nodes:
        return gaussians
    members = torch.nonzero(scene.node_ids > 0).squeeze(1)
    if members.numel() == 0:
        return gaussians
    node_of_member = scene.node_ids[members].long() - 1
    poses, present = node_poses(scene.nodes, time_index, gaussians.means)
    # index_select: the backward pass of [] adds with atomics on several CPU threads, in another order at every run
    pose = poses.index_select(0, node_of_member)
    turns = quaternions_from_rotations(poses[:, :3, :3]).index_select(0, node_of_member)
    local = _deformed(scene, gaussians.means[members], node_of_member, time_index)
    means = (pose[:, :3, :3] @ local[..., None]).squeeze(-1) + pose[:, :3, 3]
    logits = gaussians.opacity_logits[members].masked_fill(~present[node_of_member], ABSENT_OPACITY_LOGIT)
    colors = _lit(scene, gaussians.colors, members, node_of_member, time_index)
    return dataclasses.replace(
        gaussians,
        colors=colors,
        means=gaussians.means.index_copy(0, members, means),
        quats=gaussians.quats.index_copy(0, members, quaternion_product(turns, gaussians.quats[members])),
        opacity_logits=gaussians.opacity_logits.index_copy(0, members, logits),
    )


def node_poses(nodes: tuple[RigidNode, ...], time_index: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """`world_from_node` of every node at one time stamp [K, 4, 4] and whether it is present [K].

    Absent nodes get the identity. dtype and device follow `like`.
    """
    if not nodes:
        return like.new_zeros(0, 4, 4), torch.zeros(0, dtype=torch.bool, device=like.device)
    poses, present = [], []
    for node in nodes:
        at = torch.nonzero(node.time_indices == time_index).flatten()
        present.append(at.numel() > 0)
        poses.append(node.world_from_node[int(at[0])].to(like) if present[-1] else torch.eye(4).to(like))
    return torch.stack(poses), torch.tensor(present, device=like.device)


def quaternions_from_rotations(rotations: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 4"]:
    """Unit quaternions wxyz of rotation matrices, differentiable (Shepperd 1978).

    q q^T is linear in the matrix; its row of the largest diagonal entry, normalised, is q up to its sign.
    """
    xx, yy, zz = rotations.diagonal(dim1=-2, dim2=-1).unbind(-1)
    wx, wy, wz = (rotations[:, i, j] - rotations[:, j, i] for i, j in ((2, 1), (0, 2), (1, 0)))
    xy, xz, yz = (rotations[:, i, j] + rotations[:, j, i] for i, j in ((0, 1), (0, 2), (1, 2)))
    rows = [
        torch.stack([1 + xx + yy + zz, wx, wy, wz], -1),
        torch.stack([wx, 1 + xx - yy - zz, xy, xz], -1),
        torch.stack([wy, xy, 1 - xx + yy - zz, yz], -1),
        torch.stack([wz, xz, yz, 1 - xx - yy + zz], -1),
    ]
    outer = torch.stack(rows, -2)  # 4 q q^T
    largest = outer.detach().diagonal(dim1=-2, dim2=-1).argmax(-1)
    return F.normalize(outer[torch.arange(len(outer), device=outer.device), largest], dim=-1)


def _deformed(
    scene: GaussianScene, local: Float[Tensor, "m 3"], node_of_member: Int[Tensor, " m"], time_index: int
) -> Float[Tensor, "m 3"]:
    """The means of node members, displaced where their node changes shape."""
    for index, node in enumerate(scene.nodes):
        if node.handles_m is None:
            continue
        row = torch.nonzero(node.time_indices == time_index).flatten()
        members = torch.nonzero(node_of_member == index).squeeze(1)
        if row.numel() and members.numel():
            local = local.index_add(0, members, displacement_m(node, local[members], int(row[0])))
    return local


def _lit(
    scene: GaussianScene,
    colors: Float[Tensor, "n k 3"],
    members: Int[Tensor, " m"],
    node_of_member: Int[Tensor, " m"],
    time_index: int,
) -> Float[Tensor, "n k 3"]:
    """Colours of node members as bright as their node is then."""
    if all(node.log_gains is None for node in scene.nodes):
        return colors
    gains = []
    for node in scene.nodes:
        row = torch.nonzero(node.time_indices == time_index).flatten()
        known = node.log_gains is not None and row.numel() > 0
        gains.append(node.log_gains[int(row[0])].to(colors).exp() if known else colors.new_ones(3))
    gain = torch.stack(gains).index_select(0, node_of_member)[:, None]
    own = colors[members]
    lit = torch.cat([own[:, :1] * gain + 0.5 * (gain - 1.0) / SH_0, own[:, 1:] * gain], dim=1)
    return colors.index_copy(0, members, lit)


def quaternion_product(left: Float[Tensor, "*#n 4"], right: Float[Tensor, "*#n 4"]) -> Float[Tensor, "*n 4"]:
    """Hamilton product of quaternions wxyz: the rotation `right` followed by `left`."""
    w1, x1, y1, z1 = left.unbind(-1)
    w2, x2, y2, z2 = right.unbind(-1)
    return torch.stack(
        [
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        ],
        dim=-1,
    )


def count_members(node_ids: Int[Tensor, " n"], num_nodes: int) -> Int[Tensor, " k_plus_1"]:
    """The number of Gaussians of the background (entry 0) and of every node."""
    return torch.bincount(node_ids.long(), minlength=num_nodes + 1)


def concatenate(*parts: Gaussians) -> Gaussians:
    """All Gaussians in one, in order."""
    return Gaussians(**{name: torch.cat([getattr(part, name) for part in parts]) for name in GAUSSIAN_FIELDS})


def select(gaussians: Gaussians, chosen: Tensor) -> Gaussians:
    """The Gaussians of a mask or index [n]."""
    return Gaussians(**{name: getattr(gaussians, name)[chosen] for name in GAUSSIAN_FIELDS})
