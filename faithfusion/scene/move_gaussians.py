"""Gaussians moved into another frame: turned, shifted, scaled, with their spherical harmonics."""

from __future__ import annotations

import dataclasses
import math

import torch
from scipy.spatial.transform import Rotation

from faithfusion.scene.graph import quaternion_product
from faithfusion.types import Gaussians
from faithfusion.utils.harmonics import turn_harmonics
from faithfusion.utils.similarity import Similarity


def move_gaussians(gaussians: Gaussians, move: Similarity) -> Gaussians:
    """The same Gaussians in the new frame: seen from a camera that moved along (`move.move_pose`) nothing changes.

    Computed in float64, because scenes may lie far from the origin of their old frame.
    """
    rotation = torch.from_numpy(move.rotation)
    means = move.scale * (gaussians.means.double() @ rotation.T) + torch.from_numpy(move.translation)
    turn = torch.from_numpy(Rotation.from_matrix(move.rotation).as_quat(scalar_first=True))
    return dataclasses.replace(
        gaussians,
        means=means.to(gaussians.means),
        quats=quaternion_product(turn, gaussians.quats.double()).to(gaussians.quats),
        log_scales=gaussians.log_scales + math.log(move.scale),
        colors=turn_harmonics(gaussians.colors, rotation),
    )
