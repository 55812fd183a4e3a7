"""DriveStudio's deformable nodes: their network, sampled at every time stamp, carried over to handles.

Its network (Yang et al. 2024, deformable 3D Gaussians) moves and turns every Gaussian of a person as a function of
place, time and a code of the instance. Ours move Gaussians with a few handles (`scene.deform`): the shape at rest is
the network's mean over the instance's time stamps, and the handles follow the rest by least squares.
"""

from __future__ import annotations

import dataclasses
import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from faithfusion.scene.deform import box_handles, handle_weights
from faithfusion.scene.drivestudio_models import Keys, NodeModel
from faithfusion.types import Gaussians, RigidNode

FREQUENCIES = 10  # of place and of time, DriveStudio's x_multires and t_multires
DAMPING = 1e-3  # of the least squares: a handle without Gaussians around it stays where it is


def has_network(keys: Keys) -> bool:
    """Whether the state holds a deformation network of the size DriveStudio's configurations give it."""
    if "deform_network.linear.0.weight" not in keys or "instances_embedding" not in keys:
        return False
    codes = keys.get("instances_embedding", None, None).shape[1]
    inputs = keys.get("deform_network.linear.0.weight", None, None).shape[1]
    return inputs == 4 * (1 + 2 * FREQUENCIES) + codes


def deform_node(
    keys: Keys, model: NodeModel, instance: int, members: Gaussians, node: RigidNode, times: Int[Tensor, " n"]
) -> tuple[Gaussians, RigidNode, float]:
    """(Gaussians at rest, node with handles, root mean square of what the handles do not follow, metres).

    `members`: the instance's Gaussians; `times`: the model's own time stamps at which it is present.
    """
    total = model.present.shape[0]
    code = keys.get("instances_embedding", model.present.shape[1], None)[instance]
    height_m = model.size_m[instance, 2]
    moved = [_network(keys, members.means / height_m * 2.0, int(t) / max(total - 1, 1), code) for t in times]
    places = torch.stack([members.means + shift for shift, _, _ in moved])
    rest = places.mean(0)
    handles = box_handles(node.size_m)
    weights = handle_weights(rest, handles, node.size_m)
    offsets, error_m = _fit_handles(weights, places - rest)
    quats = torch.stack([F.normalize(F.normalize(members.quats, dim=-1) + turn, dim=-1) for _, turn, _ in moved])
    scales = torch.stack([members.log_scales.exp() + grow for _, _, grow in moved]).mean(0)
    at_rest = dataclasses.replace(
        members, means=rest, quats=F.normalize(quats.mean(0), dim=-1), log_scales=scales.clamp_min(1e-6).log()
    )
    return at_rest, dataclasses.replace(node, handles_m=handles, handle_offsets_m=offsets), error_m


def _fit_handles(
    weights: Float[Tensor, "n c"], displacement: Float[Tensor, "t n 3"]
) -> tuple[Float[Tensor, "t c 3"], float]:
    normal = weights.T @ weights + DAMPING * torch.eye(weights.shape[1])
    offsets = torch.linalg.solve(normal, weights.T @ displacement)
    return offsets, float((weights @ offsets - displacement).square().sum(-1).mean().sqrt())


def _network(
    keys: Keys, points: Float[Tensor, "n 3"], time: float, code: Float[Tensor, " e"]
) -> tuple[Tensor, Tensor, Tensor]:
    """(shift [n, 3], turn [n, 4], growth [n, 3]) at a time in [0, 1]; turn and growth 0 where the network has none."""
    moment = torch.full((len(points), 1), time)
    inputs = torch.cat([_waves(points), _waves(moment), code.expand(len(points), -1)], dim=-1)
    hidden, layer = inputs, 0
    while f"deform_network.linear.{layer}.weight" in keys:
        weight, bias = (
            keys.get(f"deform_network.linear.{layer}.weight"),
            keys.get(f"deform_network.linear.{layer}.bias"),
        )
        if layer and weight.shape[1] == hidden.shape[1] + inputs.shape[1]:  # a skip connection
            hidden = torch.cat([inputs, hidden], dim=-1)
        hidden, layer = F.relu(F.linear(hidden, weight, bias)), layer + 1
    heads = (("gaussian_warp", 3), ("gaussian_rotation", 4), ("gaussian_scaling", 3))
    return tuple(_head(keys, name, size, hidden) for name, size in heads)


def _head(keys: Keys, name: str, size: int, hidden: Float[Tensor, "n w"]) -> Float[Tensor, "n s"]:
    if f"deform_network.{name}.weight" not in keys:
        return hidden.new_zeros(len(hidden), size)
    weight, bias = keys.get(f"deform_network.{name}.weight", size, None), keys.get(f"deform_network.{name}.bias", size)
    return F.linear(hidden, weight, bias)


def _waves(values: Float[Tensor, "n d"]) -> Float[Tensor, "n f"]:
    """Positional encoding (Mildenhall et al. 2020): the values, then sine and cosine of each octave."""
    octaves = [wave(values * math.pow(2.0, k)) for k in range(FREQUENCIES) for wave in (torch.sin, torch.cos)]
    return torch.cat([values, *octaves], dim=-1)
