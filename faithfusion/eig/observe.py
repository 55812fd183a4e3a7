"""What recorded views tell about a Gaussian scene: sums over their pixels, before any prior.

A view adds sum_p s_p^-2 J_p^T J_p = U_k^T M_k U_k to every Gaussian, D x D in node coordinates, and T_p^2 s_p^-2 to the
sky texels it sees. M (as moments of the pixel offset): `eig.moments`; U: `eig.jacobian`. D = 10 + 3 K with K colour
coefficients per channel; the Warp kernel here is for diffuse colours (K = 1), `eig.dense_blocks` for the others.

The noise of a pixel is s_p^2 = sigma^2 + (squared residual of the render, averaged over 3 x 3 pixels): where the model
does not fit what it was shown, the image says less about its parameters. The same residuals, shared out by blending
weight, are each Gaussian's own misfit: see `eig.posterior`.
"""

# Signatures of Warp kernels hold values where Python has types.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

import torch
import torch.nn.functional as F
import warp as wp
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.eig.config import EigConfig
from faithfusion.eig.dense_blocks import add_dense_information, triangle_width
from faithfusion.eig.jacobian import (
    Pinhole,
    SceneGaussians,
    geometry_block,
    mat59,
    num_scene,
    pinhole,
    point_slopes,
    scene_gaussians,
)
from faithfusion.eig.moments import (
    MISFIT,
    NUM_MOMENTS,
    ROW_OF_EIGHT,
    SEEN,
    SQUARES,
    moment_parts,
    offset_moments,
    quadratic_slots,
)
from faithfusion.render.render_view import render_view
from faithfusion.scene.sky import sky_background
from faithfusion.types import Camera, GaussianScene, Rendering, Sky
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import track
from faithfusion.utils.warp_launch import as_warp, launch

vec36 = wp.types.vector(length=NUM_MOMENTS, dtype=float)

BRIGHTEST = 1.5
"""No colour in [0, 1] is brighter, not even after a resampling that overshoots; one in bytes is."""
RESIDUAL_WINDOW_PX = 3
"""Side of the square over which squared residuals are averaged: one pixel's own is too noisy a measure."""


@dataclass(frozen=True)
class TrainingView:
    """One observed image, colours in [0, 1]. Pixels outside `mask` (ego vehicle, untracked movers) tell nothing; pixels
    of `sky_mask` inform the sky, not the Gaussians. Without `image`, in a view that is only imagined, all noise is the
    sensor's."""

    camera: Camera
    time_index: int
    mask: Bool[Tensor, "h w"]
    sky_mask: Bool[Tensor, "h w"] | None = None
    image: Float[Tensor, "h w 3"] | None = None


@dataclass(frozen=True)
class Evidence:
    """Sums over the pixels of views, under `config`. Precisions are laid out as in `Posterior`, without its prior;
    `seen` and `misfit` are sums of blending weight and of weight times squared residual (per channel) over pixels with
    an image. `viewpoints`: where the views' cameras stood."""

    config: EigConfig
    precision: Float[Tensor, "n w"]
    seen: Float[Tensor, " n"]
    misfit: Float[Tensor, " n"]
    sky_precision: Float[Tensor, "hs ws"]
    sky_seen: Float[Tensor, "hs ws"]
    sky_misfit: Float[Tensor, "hs ws"]
    viewpoints: Float[Tensor, "v 3"]

    def counted(self, pixels_per_observation: float) -> Evidence:
        """The same sums, of which so many pixels tell as much as one independent observation."""
        config = dataclasses.replace(self.config, pixels_per_observation=pixels_per_observation)
        return dataclasses.replace(self, config=config)


def whole_view(camera: Camera, time_index: int = 0, image: Float[Tensor, "h w 3"] | None = None) -> TrainingView:
    """A view whose pixels all tell something."""
    mask = torch.ones(camera.height, camera.width, dtype=torch.bool)
    return TrainingView(camera, time_index, mask, None, image)


def counted_pixels(view: TrainingView) -> Bool[Tensor, "h w"]:
    """The pixels that inform the Gaussians: inside the mask, and not sky.

    Raises InputError if a mask does not have its camera's size.
    """
    size = (view.camera.height, view.camera.width)
    for name, mask in {"mask": view.mask, "sky mask": view.sky_mask}.items():
        if mask is not None and tuple(mask.shape) != size:
            raise InputError(f"{name} of time index {view.time_index}", tuple(mask.shape), f"the image size {size}")
    return view.mask if view.sky_mask is None else view.mask & ~view.sky_mask


def no_evidence(scene: GaussianScene, config: EigConfig) -> Evidence:
    """Zeros on the scene's device."""
    size = num_scene(scene.gaussians.colors.shape[1])
    width = triangle_width(size) if config.posterior == "block" else size
    means, texels = scene.gaussians.means.detach(), scene.sky.texture[..., 0].detach()
    return Evidence(
        config,
        precision=means.new_zeros(len(means), width),
        seen=means.new_zeros(len(means)),
        misfit=means.new_zeros(len(means)),
        sky_precision=torch.zeros_like(texels),
        sky_seen=torch.zeros_like(texels),
        sky_misfit=torch.zeros_like(texels),
        viewpoints=means.new_zeros(0, 3),
    )


def gather_evidence(scene: GaussianScene, views: Sequence[TrainingView], config: EigConfig) -> Evidence:
    """Everything `views` tell; they are read one at a time. The sums are deterministic on a CPU.

    Raises InputError if a mask or an image does not have its camera's size.
    """
    evidence = no_evidence(scene, config)
    viewpoints = [evidence.viewpoints]
    for view in track(views, "scene posterior"):
        add_view(scene, view, evidence)
        viewpoints.append(view.camera.world_from_camera[None, :3, 3].to(evidence.viewpoints))
    return dataclasses.replace(evidence, viewpoints=torch.cat(viewpoints))


def view_information(scene: GaussianScene, view: TrainingView, config: EigConfig) -> Evidence:
    """What one view tells."""
    evidence = no_evidence(scene, config)
    add_view(scene, view, evidence)
    return evidence


def add_view(scene: GaussianScene, view: TrainingView, evidence: Evidence) -> None:
    """Adds a view's pixels to the sums of `evidence` in place; its `viewpoints` stay. Raises InputError as
    `gather_evidence`."""
    counted, size = counted_pixels(view), (view.camera.height, view.camera.width)
    if view.image is not None and tuple(view.image.shape[:2]) != size:
        found = tuple(view.image.shape)
        raise InputError(f"image of time index {view.time_index}", found, f"the image size {size}")
    if view.image is not None and (not view.image.is_floating_point() or float(view.image.max()) > BRIGHTEST):
        found = f"{view.image.dtype}, up to {float(view.image.max()):g}"
        raise InputError(f"image of time index {view.time_index}", found, "floating-point colours in [0, 1]")
    config, device = evidence.config, evidence.precision.device
    with torch.no_grad():
        rendering = render_view(scene, view.camera.to(device), view.time_index)
    sq_residual = _sq_residual(view, rendering)
    precision = 1.0 / (config.noise_std**2 + _window_mean(sq_residual))
    weight = torch.where(counted.to(device), precision, 0.0)
    _add_gaussians(scene, view, rendering, weight, sq_residual, evidence)
    _add_sky(scene.sky, view, rendering, precision, sq_residual, evidence)


def _sq_residual(view: TrainingView, rendering: Rendering) -> Float[Tensor, "h w"]:
    """Squared difference of image and render per channel; 0 without an image and outside the mask."""
    color = rendering.color.detach()
    if view.image is None:
        return torch.zeros_like(color[..., 0])
    residual = (color.clamp(0.0, 1.0) - view.image.to(color)).square().mean(-1)
    return torch.where(view.mask.to(color.device), residual, 0.0)


def _window_mean(image: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """Mean over the neighbours inside the image."""
    half = RESIDUAL_WINDOW_PX // 2
    batch = rearrange(image, "h w -> 1 1 h w")
    return F.avg_pool2d(batch, RESIDUAL_WINDOW_PX, stride=1, padding=half, count_include_pad=False)[0, 0]


def _add_gaussians(
    scene: GaussianScene,
    view: TrainingView,
    rendering: Rendering,
    weight: Float[Tensor, "h w"],
    sq_residual: Float[Tensor, "h w"],
    evidence: Evidence,
) -> None:
    """precision += U^T M U in place for the Gaussians the view sees, and what an image tells of their misfit."""
    precision, has_image, device = evidence.precision, view.image is not None, weight.device
    max_entries = evidence.config.max_entries
    if scene.gaussians.colors.shape[1] > 1:
        moments = offset_moments(rendering, weight, sq_residual, max_entries=max_entries)
        ids = torch.nonzero(moments[:, SQUARES] > 0).flatten()
        seen = (scene, view.camera, view.time_index, rendering.projection, moments, ids)
        add_dense_information(*seen, precision, chunk_size=evidence.config.chunk_size)
        if has_image:
            evidence.seen.add_(moments[:, SEEN])
            evidence.misfit.add_(moments[:, MISFIT])
        return
    seen = [pinhole(view.camera), scene_gaussians(scene, view.time_index, rendering.projection)]
    sums = [as_warp(total, wp.float32) for total in (precision, evidence.seen, evidence.misfit)]
    for starts, parts in moment_parts(rendering, weight, sq_residual, max_entries=max_entries):
        inputs = [*seen, as_warp(starts, wp.int32), as_warp(parts, wp.float32), int(has_image), *sums]
        launch(_add_view, len(starts) - 1, inputs, device)


def _add_sky(
    sky: Sky,
    view: TrainingView,
    rendering: Rendering,
    pixel_precision: Float[Tensor, "h w"],
    sq_residual: Float[Tensor, "h w"],
    evidence: Evidence,
) -> None:
    """A texel gains the sum over pixels of its interpolation weight times T_p^2 s_p^-2; misfit counts with T_p."""
    with torch.enable_grad():
        texture = torch.zeros_like(sky.texture, requires_grad=True)
        looked_up = sky_background(Sky(texture), view.camera.to(texture.device))
    through = torch.where(view.mask.to(texture.device), 1.0 - rendering.alpha.detach(), 0.0)
    has_image = float(view.image is not None)
    sums = torch.stack([through.square() * pixel_precision, has_image * through, through * sq_residual], -1)
    (spread,) = torch.autograd.grad(looked_up, texture, sums)
    for total, part in zip(
        (evidence.sky_precision, evidence.sky_seen, evidence.sky_misfit), spread.unbind(-1), strict=True
    ):
        total.add_(part)


_PRECISION = ROW_OF_EIGHT + Template("""
const int slot_of[6][6] = $slots; // of the product of two of 1, u, u^2, v, u v, v^2
const float* M = &moments.c[0];
row8 rows[5], products[5] = {}; // of W and of M W, whose ninth columns are apart
float last_products[5] = {};
#pragma unroll
for (int i = 0; i < 5; ++i) {
    #pragma unroll
    for (int m = 0; m < 8; ++m) rows[i][m] = W.data[i][m];
}
#pragma unroll
for (int i = 0; i < 5; ++i) {
    #pragma unroll
    for (int j = 0; j < 5; ++j) {
        const float moment = M[slot_of[1 + i][1 + j]];
        products[i] += moment * rows[j];
        last_products[i] += moment * W.data[j][8];
    }
}
float H[91], diagonal[13];
int n = 0;
#pragma unroll
for (int p = 0; p < 9; ++p) {
    row8 sums = {};
    float last = 0.0f, points[4] = {};
    #pragma unroll
    for (int i = 0; i < 5; ++i) {
        sums += W.data[i][p] * products[i], last += W.data[i][p] * last_products[i];
        points[0] += W.data[i][p] * M[slot_of[0][1 + i]];
        #pragma unroll
        for (int c = 0; c < 3; ++c) points[1 + c] += W.data[i][p] * M[16 + 6 * c + i];
    }
    diagonal[p] = p < 8 ? sums[p] : last;
    #pragma unroll
    for (int q = p; q < 8; ++q) H[n++] = sums[q];
    H[n++] = last;
    #pragma unroll
    for (int c = 0; c < 4; ++c) H[n++] = slopes[c] * points[c];
}
#pragma unroll
for (int c = 0; c < 4; ++c) diagonal[9 + c] = slopes[c] * slopes[c] * (c == 0 ? M[0] : M[33]);
H[n++] = diagonal[9];
#pragma unroll
for (int c = 0; c < 3; ++c) H[n++] = slopes[0] * slopes[1 + c] * M[15 + 6 * c];
#pragma unroll
for (int c = 0; c < 3; ++c) {
    H[n++] = diagonal[10 + c];
    #pragma unroll
    for (int e = c + 1; e < 3; ++e) H[n++] = 0.0f;
}
const int width = precision.shape[1];
float* to = precision.data + (long long)k * width;
if (width == 13) {
    #pragma unroll
    for (int i = 0; i < 13; ++i) to[i] += diagonal[i];
} else {
    #pragma unroll
    for (int i = 0; i < 91; ++i) to[i] += H[i];
}
""").substitute(slots=quadratic_slots())


@wp.func_native(_PRECISION)
def _add_precision_of(k: int, W: mat59, slopes: wp.vec4, moments: vec36, precision: wp.array2d(dtype=float)): ...


@wp.func_native("""
wp::vec_t<36, float> total;
const float* part = parts.data + (long long)first * 36;
for (int slot = first; slot < last; ++slot, part += 36) {
    for (int i = 0; i < 36; ++i) total[i] += part[i];
}
return total;
""")
def _sum_of_parts(first: int, last: int, parts: wp.array2d(dtype=float)) -> vec36: ...


@wp.kernel(enable_backward=False)
def _add_view(
    first: int,
    camera: Pinhole,
    scene: SceneGaussians,
    starts: wp.array(dtype=int),
    parts: wp.array2d(dtype=float),
    has_image: int,
    precision: wp.array2d(dtype=float),
    seen: wp.array(dtype=float),
    misfit: wp.array(dtype=float),
):
    """One thread per Gaussian. U is five rows of geometry, then opacity and colours on a diagonal."""
    k = first + wp.tid()
    if starts[k] < starts[k + 1]:
        moments = _sum_of_parts(starts[k], starts[k + 1], parts)
        if has_image != 0:
            seen[k] += moments[SEEN]
            misfit[k] += moments[MISFIT]
        if moments[SQUARES] > 0.0:
            _add_precision_of(k, geometry_block(camera, scene, k), point_slopes(scene, k), moments, precision)
