"""Real spherical harmonics up to degree 3: basis, and how coefficients turn with the scene."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from faithfusion.utils.errors import InputError

SH_0 = math.sqrt(1 / (4 * math.pi))
NUM_DIRECTIONS = 64
"""Far more directions than the 16 coefficients of degree 3 make the least squares of `turn_matrix` well conditioned."""


def turn_harmonics(colors: Float[Tensor, "n k 3"], rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "n k 3"]:
    """Coefficients after the scene has been turned: the colour along `rotation @ d` is the old colour along d."""
    if colors.shape[1] == 1:
        return colors
    return turn_matrix(rotation, colors.shape[1]).to(colors) @ colors


def turn_matrix(rotation: Float[Tensor, "3 3"], num: int) -> Float[Tensor, "k k"]:
    """The matrix M with sum_i Y_i(R d) (M c)_i = sum_i Y_i(d) c_i for all d and c, float64.

    Harmonics of one degree turn among themselves, so least squares over enough directions are exact.
    """
    directions = _spread_directions(NUM_DIRECTIONS)
    turned = directions @ rotation.detach().cpu().double().T
    return torch.linalg.lstsq(sh_basis(turned, num), sh_basis(directions, num)).solution


def _spread_directions(num: int) -> Float[Tensor, "n 3"]:
    """Unit vectors on a golden spiral, float64."""
    index = torch.arange(num, dtype=torch.float64)
    z = 1.0 - (2.0 * index + 1.0) / num
    azimuth = index * math.pi * (3.0 - math.sqrt(5.0))
    radius = (1.0 - z * z).sqrt()
    return F.normalize(torch.stack([radius * azimuth.cos(), radius * azimuth.sin(), z], -1), dim=-1)


def sh_basis(directions: Float[Tensor, "*n 3"], num: int) -> Float[Tensor, "*n k"]:
    """The first `num` (1, 4, 9 or 16) real spherical harmonics of unit vectors, signed as in 3D Gaussian Splatting.

    Raises InputError for another `num`. Source: Sloan, Efficient Spherical Harmonic Evaluation (2013).
    """
    if num not in (1, 4, 9, 16):
        raise InputError("spherical harmonics", f"{num} coefficients per colour", "1, 4, 9 or 16")
    x, y, z = directions.unbind(-1)
    basis = [torch.full_like(x, SH_0)]
    if num > 1:
        c = math.sqrt(3 / (4 * math.pi))
        basis += [-c * y, c * z, -c * x]
    if num > 4:
        c = math.sqrt(15 / (4 * math.pi))
        basis += [
            c * x * y,
            -c * y * z,
            0.5 * c / math.sqrt(3) * (3 * z * z - 1),
            -c * x * z,
            0.5 * c * (x * x - y * y),
        ]
    if num > 9:
        basis += _degree_3(x, y, z)
    return torch.stack(basis, -1)


def _degree_3(x: Float[Tensor, "*n"], y: Float[Tensor, "*n"], z: Float[Tensor, "*n"]) -> list[Float[Tensor, "*n"]]:
    c_0 = 0.25 * math.sqrt(7 / math.pi)
    c_1 = 0.25 * math.sqrt(21 / (2 * math.pi))
    c_2 = 0.25 * math.sqrt(105 / math.pi)
    c_3 = 0.25 * math.sqrt(35 / (2 * math.pi))
    return [
        -c_3 * y * (3 * x * x - y * y),
        2 * c_2 * x * y * z,
        -c_1 * y * (5 * z * z - 1),
        c_0 * z * (5 * z * z - 3),
        -c_1 * x * (5 * z * z - 1),
        c_2 * z * (x * x - y * y),
        -c_3 * x * (x * x - 3 * y * y),
    ]
