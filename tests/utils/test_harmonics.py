"""Spherical harmonics: against scipy's complex ones, and turned with a scene."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from faithfusion.utils.harmonics import SH_0, sh_basis, turn_harmonics, turn_matrix


def directions(num: int = 200) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(num, 3, dtype=torch.float64), dim=-1)


def rotation(seed: int) -> torch.Tensor:
    return torch.from_numpy(Rotation.random(random_state=seed).as_matrix())


def test_basis_is_that_of_scipy_up_to_signs() -> None:
    unit = directions().numpy()
    polar, azimuth = np.arccos(unit[:, 2]), np.arctan2(unit[:, 1], unit[:, 0])
    basis = sh_basis(torch.from_numpy(unit), 16).numpy()
    for degree in range(4):
        for order in range(-degree, degree + 1):
            value = sph_harm_y(degree, abs(order), polar, azimuth)
            part = value.real if order >= 0 else value.imag
            expected = part * (math.sqrt(2.0) if order else 1.0)
            np.testing.assert_allclose(basis[:, degree * degree + degree + order], expected, atol=1e-12)
    assert basis[0, 0] == pytest.approx(SH_0)


@pytest.mark.parametrize("bases", [1, 4, 9, 16])
def test_colours_along_turned_directions_are_the_same(bases: int) -> None:
    """Float32 coefficients as scenes have them; the colours agree far better than 1e-5."""
    unit = directions()
    for seed in range(5):
        colors = torch.randn(7, bases, 3)
        turned = turn_harmonics(colors, rotation(seed))
        before = torch.einsum("dk,nkc->ndc", sh_basis(unit, bases), colors.double())
        after = torch.einsum("dk,nkc->ndc", sh_basis(unit @ rotation(seed).T, bases), turned.double())
        assert turned.dtype == colors.dtype
        assert (after - before).abs().max() < 2e-6


def test_turns_compose_and_do_not_mix_degrees() -> None:
    one, two = rotation(1), rotation(2)
    torch.testing.assert_close(turn_matrix(two @ one, 16), turn_matrix(two, 16) @ turn_matrix(one, 16))
    matrix = turn_matrix(one, 16)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(16, dtype=torch.float64))
    for start, end in ((0, 1), (1, 4), (4, 9), (9, 16)):
        outside = torch.ones(16, dtype=torch.bool)
        outside[start:end] = False
        assert matrix[start:end, outside].abs().max() < 1e-12
