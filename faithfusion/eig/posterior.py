"""Block Laplace posterior of a Gaussian scene from its training views.

H_k = P_k + sigma^-2 sum_views U_k^T M_k U_k for every Gaussian, 13 x 13 in node coordinates, and one precision per sky
texel. M (as moments of the pixel offset): `eig.moments`; U: `eig.jacobian`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import warp as wp
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.eig.jacobian import (
    NUM_SCENE,
    Y_0,
    Pinhole,
    SceneGaussians,
    geometry_block,
    offset_block,
    pinhole,
    point_slopes,
    scene_gaussians,
)
from faithfusion.eig.moments import offset_moments, quartic_slot
from faithfusion.render.view import render_view
from faithfusion.render.warp_launch import as_warp, launch
from faithfusion.scene.sky import sky_background
from faithfusion.types import Camera, Gaussians, GaussianScene, Rendering, Sky
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import track

NUM_TRIANGLE = NUM_SCENE * (NUM_SCENE + 1) // 2


@dataclass(frozen=True)
class EigConfig:
    """Noise, prior and memory of the expected information gain.

    Attributes:
        noise_std: standard deviation sigma of one observed colour channel, colours in [0, 1].
        posterior: "block" keeps 13 x 13 per Gaussian (364 B), "diag" its diagonal (52 B).
        prior_position_scales: prior std of a Gaussian's position, in units of its own RMS standard deviation.
        prior_log_scale: prior std of a log-scale.
        prior_rotation_rad: prior std of a rotation about each of the Gaussian's axes.
        prior_opacity_logit: prior std of the opacity logit.
        prior_color: prior std of a colour channel, of Gaussians and of the sky.
        max_entries: tile-list entries pass 1 holds at once (136 B each).
    """

    noise_std: float = 0.03
    posterior: Literal["block", "diag"] = "block"
    prior_position_scales: float = 2.0
    prior_log_scale: float = 0.5
    prior_rotation_rad: float = 0.5
    prior_opacity_logit: float = 2.0
    prior_color: float = 0.3
    max_entries: int = 2_000_000

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "posterior" and not value > 0:
                raise InputError(f"eig.{name}", value, "a positive number")


@dataclass(frozen=True)
class TrainingView:
    """One observed image. Pixels outside `mask` (ego vehicle, untracked movers) tell nothing; pixels of `sky_mask`
    inform the sky, not the Gaussians."""

    camera: Camera
    time_index: int
    mask: Bool[Tensor, "h w"]
    sky_mask: Bool[Tensor, "h w"] | None = None


@dataclass(frozen=True)
class Posterior:
    """Precisions, prior included. `precision`: upper triangle of H_k, row-major, or its diagonal for "diag"."""

    precision: Float[Tensor, "n d"]
    sky_precision: Float[Tensor, "hs ws"]  # 1 / colour variance of a texel


def fit_posterior(scene: GaussianScene, views: Sequence[TrainingView], config: EigConfig) -> Posterior:
    """The posterior after all `views`; every pixel of a view's mask counts as one observation.

    Deterministic on CPU. Raises InputError if a mask does not have its camera's size.
    """
    posterior = prior_posterior(scene, config)
    for view in track(views, "scene posterior"):
        rendering = _add_information(scene, view, config, posterior.precision)
        _add_sky_information(scene.sky, view, rendering, config, posterior.sky_precision)
    return posterior


def prior_posterior(scene: GaussianScene, config: EigConfig) -> Posterior:
    """What is known before any image."""
    diagonal = prior_precision(scene.gaussians, config)
    sky = torch.full_like(scene.sky.texture[..., 0], config.prior_color**-2).detach()
    if config.posterior == "diag":
        return Posterior(diagonal, sky)
    precision = torch.zeros(scene.gaussians.num, NUM_TRIANGLE, device=diagonal.device)
    precision[:, diagonal_of_triangle()] = diagonal
    return Posterior(precision, sky)


def prior_precision(gaussians: Gaussians, config: EigConfig) -> Float[Tensor, "n 13"]:
    """Diagonal of P_k, in the inverse squares of metres, log-scale, radians, logits and DC colour."""
    mean_square_scale = torch.exp(2.0 * gaussians.log_scales.detach()).mean(1, keepdim=True)
    position = (1.0 / (config.prior_position_scales**2 * mean_square_scale)).expand(-1, 3)
    stds = [config.prior_log_scale] * 3 + [config.prior_rotation_rad] * 3 + [config.prior_opacity_logit]
    stds += [config.prior_color / Y_0] * 3
    rest = torch.tensor(stds, device=position.device).pow(-2).expand(gaussians.num, -1)
    return torch.cat([position, rest], dim=1).contiguous()


def diagonal_of_triangle() -> list[int]:
    """Positions of the diagonal in the row-major upper triangle of a 13 x 13 matrix."""
    return [row * NUM_SCENE - row * (row - 1) // 2 for row in range(NUM_SCENE)]


def dense_precision(precision: Float[Tensor, "n d"]) -> Float[Tensor, "n 13 13"]:
    """Symmetric matrices of upper triangles or diagonals."""
    if precision.shape[1] == NUM_SCENE:
        return torch.diag_embed(precision)
    row, column = torch.triu_indices(NUM_SCENE, NUM_SCENE)
    dense = precision.new_zeros(precision.shape[0], NUM_SCENE, NUM_SCENE)
    dense[:, row, column] = precision
    dense[:, column, row] = precision
    return dense


def view_information(scene: GaussianScene, view: TrainingView, config: EigConfig) -> Float[Tensor, "n d"]:
    """sigma^-2 U_k^T M_k U_k of one view, without the prior, laid out as `Posterior.precision`."""
    width = NUM_TRIANGLE if config.posterior == "block" else NUM_SCENE
    information = torch.zeros(scene.gaussians.num, width, device=scene.gaussians.means.device)
    _add_information(scene, view, config, information)
    return information


def _add_information(
    scene: GaussianScene, view: TrainingView, config: EigConfig, precision: Float[Tensor, "n d"]
) -> Rendering:
    """precision += sigma^-2 U^T M U in place, for the Gaussians this view sees; returns what the view sees."""
    size = (view.camera.height, view.camera.width)
    for mask in (view.mask, view.sky_mask):
        if mask is not None and tuple(mask.shape) != size:
            raise InputError(f"mask of time index {view.time_index}", tuple(mask.shape), f"the image size {size}")
    with torch.no_grad():
        rendering = render_view(scene, view.camera.to(precision.device), view.time_index)
    counted = view.mask if view.sky_mask is None else view.mask & ~view.sky_mask
    moments = offset_moments(rendering, counted.to(precision.device), max_entries=config.max_entries)
    ids = torch.nonzero(moments[:, -1] > 0).flatten()
    inputs = [pinhole(view.camera), scene_gaussians(scene, view.time_index, rendering.projection)]
    inputs += [as_warp(ids.int(), wp.int32), as_warp(moments, wp.float32), config.noise_std**-2]
    launch(_add_precision, len(ids), [*inputs, as_warp(precision, wp.float32)], precision.device)
    return rendering


def _add_sky_information(
    sky: Sky, view: TrainingView, rendering: Rendering, config: EigConfig, sky_precision: Float[Tensor, "hs ws"]
) -> None:
    """A texel gains sigma^-2 times the sum over pixels of T_p^2 and the texel's interpolation weight, in place."""
    with torch.enable_grad():
        texture = torch.zeros_like(sky.texture, requires_grad=True)
        looked_up = sky_background(Sky(texture), view.camera.to(texture.device))
    seen_through = (1.0 - rendering.alpha.detach()).square() / config.noise_std**2
    weight = torch.where(view.mask.to(seen_through.device), seen_through, 0.0)
    (information,) = torch.autograd.grad(looked_up[..., 0], texture, weight)
    sky_precision += information[..., 0]


@wp.func
def moment_of(moments: wp.array2d(dtype=float), k: int, row: int, column: int) -> float:
    """Moment of two of the nine: 1, x, x^2, y, x y, y^2 (each times alpha d) and the three colours."""
    value = wp.float32(0.0)
    if row < 6 and column < 6:
        value = moments[k, quartic_slot(row, column)]
    elif row < 6:
        value = moments[k, 15 + 6 * (column - 6) + row]
    elif column < 6:
        value = moments[k, 15 + 6 * (row - 6) + column]
    elif row == column:
        value = moments[k, 33]
    return value


@wp.func
def add_at(precision: wp.array2d(dtype=float), k: int, row: int, column: int, value: float):
    """precision_k[row, column] += value for row <= column; only the diagonal if only that is kept."""
    if precision.shape[1] == 13:
        if row == column:
            precision[k, row] = precision[k, row] + value
    else:
        slot = row * 13 - (row * (row - 1)) // 2 + column - row
        precision[k, slot] = precision[k, slot] + value


@wp.kernel(enable_backward=False)
def _add_precision(
    first: int,
    camera: Pinhole,
    scene: SceneGaussians,
    ids: wp.array(dtype=int),
    moments: wp.array2d(dtype=float),
    weight: float,
    precision: wp.array2d(dtype=float),
):
    """One thread per Gaussian. In offset form U is five rows of geometry, then opacity and colours on a diagonal."""
    k = ids[first + wp.tid()]
    W = offset_block(geometry_block(camera, scene, k), scene.conics[k])
    slopes = point_slopes(scene, k)
    slopes[0] = slopes[0] / scene.opacities[k]
    for column in range(9):
        for row in range(column + 1):
            total = wp.float32(0.0)
            for i in range(5):
                for j in range(5):
                    total += W[i, row] * moment_of(moments, k, 1 + i, 1 + j) * W[j, column]
            add_at(precision, k, row, column, weight * total)
        for i in range(4):
            total = wp.float32(0.0)
            for j in range(5):
                total += moment_of(moments, k, wp.where(i == 0, 0, 5 + i), 1 + j) * W[j, column]
            add_at(precision, k, column, 9 + i, weight * slopes[i] * total)
    for i in range(4):
        for j in range(i, 4):
            shared = moment_of(moments, k, wp.where(i == 0, 0, 5 + i), wp.where(j == 0, 0, 5 + j))
            add_at(precision, k, 9 + i, 9 + j, weight * slopes[i] * slopes[j] * shared)
