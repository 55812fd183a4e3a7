"""The published gain, as a baseline: FaithFusion (arXiv 2511.21113), as its released code computes it and as its paper
writes it. It was written from a description of the method alone (clean room), on this package's rasteriser.

Both start from H, the sum over pixels of (sum over channels of d colour / d parameter)^2, for every activated parameter
of a Gaussian posed in the world and drawn over black. The sums over parameters of different units, the division by
hits, the bare 1000 and the 100 are kept on purpose. Two things differ from the released code: our rasteriser's limits
(largest alpha, blur, near plane), and our tile lists, which name fewer Gaussians that miss all pixels of the tile, so
that hits are lower.
"""

# Signatures of Warp kernels hold values where Python has types.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import warp as wp
from jaxtyping import Float
from torch import Tensor

from faithfusion.eig.moments import SQUARES, dense_moments, offset_moments
from faithfusion.eig.observe import TrainingView, counted_pixels
from faithfusion.render.project import project_ellipsoids
from faithfusion.render.render_view import render_view
from faithfusion.render.splats import Splats, num_blocks, splats_of
from faithfusion.render.view_colors import sh_basis
from faithfusion.render.walk import tile_walk
from faithfusion.render.warp_backend import blend_values
from faithfusion.scene.graph import gaussians_at
from faithfusion.types import Camera, Gaussians, GaussianScene, Rendering, Sky
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import track
from faithfusion.utils.warp_launch import as_warp, launch

# The released code's own numbers.
MIN_INFORMATION = 1e-6  # added to H before it is inverted
MIN_HITS = 1e-6
MIN_DEPTH = 0.1  # meant as an opacity, compared with the blended depth in metres
GAIN_DIVISOR = 1000.0
GAIN_OFFSET = 1e-9
GAIN_OF_EMPTY = 100.0
GAIN_BINS = (0.05, 0.2, 1.0)
BIN_WEIGHTS = (0.1, 0.3, 0.7, 1.0)  # of the photometric loss, below and between the bins' borders and above

NUM_GEOMETRY = 10  # means 3, quaternion 4, scales 3


@dataclass(frozen=True)
class PublishedInformation:
    """H of the training views, one column per parameter: means 3 (1/m^2), quaternion wxyz 4, scales 3 (1/m^2),
    opacity 1, spherical harmonics 3 K (coefficient by coefficient, channels fastest)."""

    per_parameter: Float[Tensor, "n d"]


@dataclass(frozen=True)
class PublishedGain:
    """Gain of a new view, without a unit. `code`: the released code's map. `paper`: the paper's formula."""

    code: Float[Tensor, "h w"]
    paper: Float[Tensor, "h w"]


@torch.no_grad()
def published_information(scene: GaussianScene, views: Sequence[TrainingView]) -> PublishedInformation:
    """H summed over the training views, a pixel's gradient divided by its hits; sky pixels count nothing.

    Neither do pixels outside a view's `mask`, which the released code does not have (there it would be all ones).
    Raises InputError if a mask does not have its camera's size.
    """
    colors = scene.gaussians.colors
    per_parameter = torch.zeros(len(colors), NUM_GEOMETRY + 1 + colors[0].numel(), device=colors.device)
    for view in track(views, "published gain"):
        counted = counted_pixels(view)
        camera = view.camera.to(colors.device)
        rendering = _render_over_black(scene, camera, view.time_index)
        weight = counted.to(colors) / hits_per_pixel(rendering).square()
        per_parameter += squared_gradients(gaussians_at(scene, view.time_index), camera, rendering, weight)
    return PublishedInformation(per_parameter)


@torch.no_grad()
def published_gain(
    scene: GaussianScene, information: PublishedInformation, camera: Camera, time_index: int
) -> PublishedGain:
    """Both maps of a new view. With H_g = sum_theta H_(g, theta) the Gaussians' numbers are

        code:  a_g = H_view_g / (H_train_g + 1e-6)      paper:  a_g = sum_theta H_view_theta / (H_train_theta + 1e-6)

    blended as a colour over black and divided by hits. The code goes on with log(1 + . / 1000) + 1e-9, without the
    pixels of blended depth <= 0.1 m (it takes depth for opacity), and writes 100 where that is < 0.1.
    Raises InputError if the information belongs to a scene with another number of parameters.
    """
    camera = camera.to(scene.gaussians.means.device)
    rendering = _render_over_black(scene, camera, time_index)
    everywhere = torch.ones_like(rendering.alpha)
    view = squared_gradients(gaussians_at(scene, time_index), camera, rendering, everywhere).double()
    train = information.per_parameter.double()
    if train.shape != view.shape:
        raise InputError("published information", tuple(train.shape), f"the scene's {tuple(view.shape)} parameters")
    of_code = view.sum(1) / (train.sum(1) + MIN_INFORMATION)
    of_paper = (view / (train + MIN_INFORMATION)).sum(1)
    blended = blend_values(rendering, torch.stack([of_code, of_paper], 1))
    of_code, of_paper = (blended / hits_per_pixel(rendering)[..., None]).unbind(-1)
    depth_sum = rendering.depth * rendering.alpha
    gain = torch.log1p(torch.where(depth_sum > MIN_DEPTH, of_code, 0.0) / GAIN_DIVISOR) + GAIN_OFFSET
    return PublishedGain(code=torch.where(depth_sum < MIN_DEPTH, GAIN_OF_EMPTY, gain), paper=of_paper)


def bin_weight(gain: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Weight of a pixel's loss by its gain (`code`): four steps, as the released code distils."""
    weights = torch.tensor(BIN_WEIGHTS, device=gain.device)
    borders = torch.tensor(GAIN_BINS, device=gain.device, dtype=gain.dtype)
    return weights[torch.bucketize(gain, borders, right=True)]


def squared_gradients(
    world: Gaussians,
    camera: Camera,
    rendering: Rendering,
    pixel_weight: Float[Tensor, "h w"],
    *,
    chunk_size: int = 65536,
) -> Float[Tensor, "n d"]:
    """sum_p weight_p (sum_c d color_pc / d theta)^2 of a rendering over black, columns as in `PublishedInformation`.

    A Gaussian's parameter acts through its screen parameters, with slopes a = d screen / d theta, so this is a^T M a
    with M the second moments of the summed channels: those of a picture that has the sum as its only channel.
    Parameters are those in the world, whatever node the Gaussian belongs to. (The sum over the three components of a
    mean is the same in any axes; single components and the quaternion's are not.) With K > 1 harmonics the colour's
    change with the direction to the mean is left out.
    """
    grey = dataclasses.replace(rendering.projection, rgb=_sum_alone(rendering.projection.rgb))
    moments = offset_moments(
        dataclasses.replace(rendering, color=_sum_alone(rendering.color), projection=grey), pixel_weight
    )
    num, num_harmonics, _ = world.colors.shape
    result = torch.zeros(num, NUM_GEOMETRY + 1 + 3 * num_harmonics, device=moments.device)
    basis = sh_basis(F.normalize(world.means - camera.world_from_camera[:3, 3], dim=-1), num_harmonics)
    slopes = basis[:, :, None] * (rendering.projection.rgb > 0)[:, None]  # 0 where the colour is clamped at 0
    result[:, NUM_GEOMETRY + 1 :] = (slopes.square() * moments[:, SQUARES, None, None]).flatten(1)
    for ids in torch.nonzero(moments[:, SQUARES] > 0).flatten().split(chunk_size):
        # float64: a^T M a is a small difference of large numbers where position and shape act alike
        columns = geometry_slopes(world.means[ids], world.quats[ids], world.log_scales[ids], camera)
        columns = offset_basis(grey.conics[ids].double()).mT @ columns
        geometry = torch.einsum("nit,nij,njt->nt", columns, dense_moments(moments[ids].double())[:, :6, :6], columns)
        opacity = moments[ids, 0] / grey.opacities[ids].square()
        result[ids, : NUM_GEOMETRY + 1] = torch.cat([geometry, opacity[:, None]], 1).clamp_min(0.0).float()
    return result


def geometry_slopes(
    means: Float[Tensor, "n 3"], quats: Float[Tensor, "n 4"], log_scales: Float[Tensor, "n 3"], camera: Camera
) -> Float[Tensor, "n 5 10"]:
    """d (mean2d, conic) / d (mean, unit quaternion, scales) of activated parameters, in float64.

    Gaussians do not act on each other's screen parameters, so one directional derivative serves all of them.
    """
    at = torch.cat([means, F.normalize(quats, dim=-1), log_scales.exp()], 1).double()

    exact = dataclasses.replace(
        camera, intrinsics=camera.intrinsics.double(), world_from_camera=camera.world_from_camera.double()
    )

    def screen(theta: Float[Tensor, "n 10"]) -> Float[Tensor, "n 5"]:
        return _screen_of_activated(theta, exact)

    directions = torch.eye(NUM_GEOMETRY).to(at)
    return torch.stack([torch.func.jvp(screen, (at,), (d.expand_as(at),))[1] for d in directions], -1)


def offset_basis(conics: Float[Tensor, "n 3"]) -> Float[Tensor, "n 5 6"]:
    """Coefficients of 1, u, u^2, v, u v, v^2 (`render.walk`) in the change of log alpha with (mean2d, conic).

    By the mean it is C d = L (u, v), by the conic -d d^T / 2 with d = L^-T (u, v).
    """
    a, b, c = conics.unbind(-1)
    root_a, s = a.sqrt(), (c - b * b / a).sqrt()
    x_u, x_v, y_v = 1.0 / root_a, -b / (a * s), 1.0 / s  # d = (x_u u + x_v v, y_v v)
    basis = conics.new_zeros(len(conics), 5, 6)
    basis[:, 0, 1] = root_a
    basis[:, 1, 1], basis[:, 1, 3] = b / root_a, s
    basis[:, 2, 2], basis[:, 2, 4], basis[:, 2, 5] = -0.5 * x_u * x_u, -x_u * x_v, -0.5 * x_v * x_v
    basis[:, 3, 4], basis[:, 3, 5] = -x_u * y_v, -x_v * y_v
    basis[:, 4, 5] = -0.5 * y_v * y_v
    return basis


def hits_per_pixel(rendering: Rendering) -> Float[Tensor, "h w"]:
    """The place (from 1) in the tile's list of the last Gaussian that was blended, at least 1e-6. Gaussians that were
    passed without effect count too."""
    hits = torch.empty_like(rendering.alpha)
    splats = splats_of(rendering.projection, rendering.tiles, *hits.shape)
    launch(_count_hits, num_blocks(splats, hits.device), [splats, as_warp(hits, wp.float32)], hits.device)
    return hits.clamp_min(MIN_HITS)


def _render_over_black(scene: GaussianScene, camera: Camera, time_index: int) -> Rendering:
    return render_view(dataclasses.replace(scene, sky=Sky(torch.zeros_like(scene.sky.texture))), camera, time_index)


def _sum_alone(color: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """The sum of the channels in the first channel, and 0 in the others."""
    return F.pad(color.sum(-1, keepdim=True), (0, 2))


def _screen_of_activated(theta: Float[Tensor, "n 10"], camera: Camera) -> Float[Tensor, "n 5"]:
    """(mean2d, conic). The published code does not normalise the quaternion inside: R(q) is a polynomial, and its
    derivative along q is not zero."""
    means, quats, scales = theta.split([3, 4, 3], dim=1)
    return torch.cat(project_ellipsoids(means, _polynomial_rotation(quats), scales, camera), 1)


def _polynomial_rotation(quats: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 3"]:
    """I + 2 w [v]x + 2 [v]x^2 of q = (w, v), a rotation only for unit quaternions."""
    w, x, y, z = quats.unbind(-1)
    zero = torch.zeros_like(w)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    return torch.eye(3).to(quats) + 2.0 * w[:, None, None] * cross + 2.0 * cross @ cross


_HITS = tile_walk(
    buffers="float last[ROOM] = {};",
    begin="const lanes place = (float)(entry - splats.offsets.data[tile] + 1);",
    pixels="store(last + i, takes ? place : load(last + i));",
    finish="hits.data[at] = last[i];",
)


@wp.func_native(_HITS)
def _hits_of_block(block: int, splats: Splats, hits: wp.array2d(dtype=float)): ...


@wp.kernel(enable_backward=False)
def _count_hits(first_block: int, splats: Splats, hits: wp.array2d(dtype=float)):
    """The place in the tile's list of the last Gaussian that was blended."""
    _hits_of_block(first_block + wp.tid(), splats, hits)
