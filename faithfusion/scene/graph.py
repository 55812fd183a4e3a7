"""The scene graph at one time stamp: every rigid node is posed into the world."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation
from torch import Tensor

from faithfusion.types import Gaussians, GaussianScene, RigidNode

ABSENT_OPACITY_LOGIT = -1e4
"""Opacity logit of a Gaussian whose node does not exist at a time stamp: its opacity is exactly 0 in float32."""


def gaussians_at(scene: GaussianScene, time_index: int) -> Gaussians:
    """All Gaussians of the scene in world coordinates at one time stamp, same number and order as `scene.gaussians`.

    Gaussians of nodes that are absent at `time_index` get opacity logit -1e4, so that every renderer culls them.
    Differentiable in all parameters. Spherical harmonics stay in world directions (as DriveStudio's rigid nodes do):
    reflections of the sun and the sky do not turn with the car.
    """
    gaussians = scene.gaussians
    if not scene.nodes:
        return gaussians
    members = torch.nonzero(scene.node_ids > 0).squeeze(1)
    if members.numel() == 0:
        return gaussians
    node_of_member = scene.node_ids[members].long() - 1
    poses, present = node_poses(scene.nodes, time_index, gaussians.means)
    pose = poses[node_of_member]
    turns = quaternions_from_rotations(poses[:, :3, :3])[node_of_member]
    means = (pose[:, :3, :3] @ gaussians.means[members, :, None]).squeeze(-1) + pose[:, :3, 3]
    logits = gaussians.opacity_logits[members].masked_fill(~present[node_of_member], ABSENT_OPACITY_LOGIT)
    return dataclasses.replace(
        gaussians,
        means=gaussians.means.index_copy(0, members, means),
        quats=gaussians.quats.index_copy(0, members, quaternion_product(turns, gaussians.quats[members])),
        opacity_logits=gaussians.opacity_logits.index_copy(0, members, logits),
    )


def node_poses(nodes: tuple[RigidNode, ...], time_index: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """`world_from_node` of every node at one time stamp [K, 4, 4] and whether it is present [K].

    Absent nodes get the identity. dtype and device follow `like`.
    """
    poses = torch.eye(4, dtype=like.dtype, device=like.device).repeat(len(nodes), 1, 1)
    present = torch.zeros(len(nodes), dtype=torch.bool, device=like.device)
    for index, node in enumerate(nodes):
        at = torch.nonzero(node.time_indices == time_index).flatten()
        if at.numel():
            poses[index] = node.world_from_node[int(at[0])].to(poses)
            present[index] = True
    return poses, present


def quaternions_from_rotations(rotations: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 4"]:
    """Unit quaternions wxyz of rotation matrices; not differentiable (poses of nodes are given, not fitted)."""
    quats = Rotation.from_matrix(rotations.detach().cpu().double().numpy()).as_quat(scalar_first=True)
    return torch.from_numpy(quats).to(rotations)


def quaternion_product(left: Float[Tensor, "*n 4"], right: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
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
    """Gaussians of the background (entry 0) and of every node."""
    return torch.bincount(node_ids.long(), minlength=num_nodes + 1)
