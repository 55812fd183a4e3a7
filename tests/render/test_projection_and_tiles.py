"""Projection, spherical harmonics and tile lists on their own."""

from __future__ import annotations

import math

import pytest
import torch
from reference.cloud import make_camera, make_gaussians, to_float64
from reference.raster import pixel_centres, quaternion_rotation
from torch import Tensor

from faithfusion.render.constants import MIN_ALPHA, TILE_SIZE_PX
from faithfusion.render.project import project, project_ellipsoids
from faithfusion.render.tiles import intersect_tiles
from faithfusion.render.view_colors import sh_basis
from faithfusion.types import Gaussians, Projection
from faithfusion.utils.errors import InputError


def alpha_at_pixels(projection: Projection, pixels: Tensor) -> Tensor:
    dx, dy = (pixels[:, None] - projection.means2d).double().unbind(-1)
    a, b, c = projection.conics.double().unbind(-1)
    return projection.opacities * torch.exp(-0.5 * (a * dx * dx + 2 * b * dx * dy + c * dy * dy))


def test_tile_lists_hold_every_contributing_gaussian_once_front_to_back() -> None:
    camera = make_camera(70, 45)
    projection = project(make_gaussians(300, scale_m=0.08), camera)
    tiles = intersect_tiles(projection, camera.width, camera.height)
    alpha = alpha_at_pixels(projection, pixel_centres(camera))
    alpha = torch.where(projection.depths > 0.05, alpha, 0).reshape(camera.height, camera.width, -1)
    listed = 0
    for tile in range(tiles.tiles_x * tiles.tiles_y):
        ids = tiles.gaussian_ids[tiles.offsets[tile] : tiles.offsets[tile + 1]].long()
        y, x = tile // tiles.tiles_x * TILE_SIZE_PX, tile % tiles.tiles_x * TILE_SIZE_PX
        inside = alpha[y : y + TILE_SIZE_PX, x : x + TILE_SIZE_PX].flatten(0, 1).amax(0)
        assert set((inside > MIN_ALPHA * (1 + 1e-5)).nonzero()[:, 0].tolist()) <= set(ids.tolist())
        assert len(set(ids.tolist())) == len(ids)
        assert (projection.depths[ids].diff() >= 0).all()
        listed += len(ids)
    assert listed == tiles.gaussian_ids.numel() == tiles.offsets[-1] > 300


def test_boxes_are_exact_so_a_tile_is_not_listed_for_an_invisible_skirt() -> None:
    """One round, faint Gaussian in the middle of a tile: 3 sigma would leave the tile, alpha >= 1/255 does not."""
    projection = Projection(
        means2d=torch.tensor([[24.0, 24.0]]),
        conics=torch.tensor([[1 / 16.0, 0.0, 1 / 16.0]]),
        stds2d=torch.tensor([[4.0, 4.0]]),
        depths=torch.ones(1),
        radii=torch.ones(1, dtype=torch.int32),
        opacities=torch.tensor([MIN_ALPHA * math.exp(0.5 * 1.8**2)]),  # reaches 1.8 sigma = 7.2 px
        rgb=torch.ones(1, 3),
    )
    tiles = intersect_tiles(projection, 48, 48)
    assert tiles.offsets.diff().tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_equal_depths_keep_the_order_of_the_gaussians() -> None:
    projection = Projection(
        torch.full((40, 2), 8.0), torch.ones(40, 3) * torch.tensor([1.0, 0, 1]), torch.ones(40, 2), torch.ones(40),
        torch.ones(40, dtype=torch.int32), torch.full((40,), 0.5), torch.ones(40, 3),
    )  # fmt: skip
    assert intersect_tiles(projection, 16, 16).gaussian_ids.tolist() == list(range(40))


def test_radius_is_zero_exactly_where_no_pixel_sees_the_gaussian() -> None:
    camera = make_camera(40, 30)
    projection = project(make_gaussians(400, scale_m=0.3), camera)
    peak = alpha_at_pixels(projection, pixel_centres(camera)).amax(0)
    seen = (peak > MIN_ALPHA * (1 + 1e-5)) & (projection.depths > 0.05)
    assert (projection.radii[seen] > 0).all()
    assert 0 < (projection.radii > 0).sum() < 400
    assert (projection.radii[projection.depths <= 0.05] == 0).all()


def test_ellipsoids_under_jacfwd_and_vmap_equal_finite_differences() -> None:
    gaussians, camera = make_gaussians(12), to_float64(make_camera(48, 32))
    visible = project(gaussians, make_camera(48, 32)).radii > 0
    values = [getattr(gaussians, name)[visible].double() for name in ("means", "quats", "log_scales")]

    def packed(means: Tensor, quats: Tensor, log_scales: Tensor) -> Tensor:
        return torch.cat(project_ellipsoids(means, quaternion_rotation(quats), log_scales.exp(), camera), -1)

    jacobians = torch.func.vmap(torch.func.jacfwd(packed, argnums=(0, 1, 2)))(*values)
    step = 1e-6
    for index in range(3):
        width = values[index][0].numel()
        for column in range(width):
            shift = torch.zeros_like(values[index]).reshape(len(values[index]), -1)
            shift[:, column] = step
            shift = shift.reshape(values[index].shape)
            high = packed(*[v + shift if i == index else v for i, v in enumerate(values)])
            low = packed(*[v - shift if i == index else v for i, v in enumerate(values)])
            slope = (high - low) / (2 * step)
            exact = jacobians[index].reshape(len(values[index]), 5, -1)[..., column]
            assert torch.allclose(exact, slope, rtol=1e-5, atol=1e-6)


def test_projection_of_a_point_and_a_ball_by_hand() -> None:
    camera = make_camera(64, 48)
    centre, forward = camera.world_from_camera[:3, 3], camera.world_from_camera[:3, 2]
    sigma_m, distance_m = 0.2, 4.0
    ball = Gaussians(
        (centre + distance_m * forward)[None], torch.tensor([[0.3, 0.1, -0.7, 0.2]]),
        torch.full((1, 3), math.log(sigma_m)), torch.zeros(1), torch.zeros(1, 1, 3),
    )  # fmt: skip
    projection = project(ball, camera)
    focal_x, focal_y = camera.intrinsics[0, 0], camera.intrinsics[1, 1]
    assert torch.allclose(projection.means2d[0], camera.intrinsics[:2, 2], atol=1e-4)
    variance = torch.stack([focal_x, focal_y]).mul(sigma_m / distance_m).square() + 0.3
    conic = torch.stack([1 / variance[0], torch.tensor(0.0), 1 / variance[1]])
    assert torch.allclose(projection.conics[0], conic, atol=1e-6)
    assert projection.opacities == 0.5 and torch.allclose(projection.depths, torch.tensor(distance_m))
    assert projection.radii == math.ceil(float((2 * variance.max() * math.log(0.5 / MIN_ALPHA)).sqrt()))


def test_other_numbers_of_harmonics_are_refused() -> None:
    with pytest.raises(InputError, match="5 coefficients"):
        sh_basis(torch.ones(1, 3), 5)
