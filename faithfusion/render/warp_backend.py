"""The Warp rasteriser as a differentiable torch function, for CPU and CUDA tensors."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
import torch.nn.functional as F
import warp as wp
from jaxtyping import Float
from torch import Tensor

from faithfusion.render.splats import Splats, add_slots, blocks_are_tiles, num_blocks, private_slots, splats_of
from faithfusion.render.warp_kernels import NUM_GRADIENTS, ImageGradients, Images, blend_backward, blend_forward
from faithfusion.types import Projection, Rendering, TileLists
from faithfusion.utils.warp_launch import as_warp, launch


def blend_warp(
    projection: Projection, tiles: TileLists, background: Float[Tensor, "h w 3"]
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Colour over the background, expected depth and alpha, differentiable in all inputs, which are float32.

    On the CPU the result and the gradients are bitwise the same for any number of threads.
    """
    screen = (projection.means2d, projection.conics, projection.opacities, projection.rgb, projection.depths)
    splats = splats_of(projection, tiles, *background.shape[:2])
    return _Blend.apply(*screen, background, splats, tiles)


def blend_values(rendering: Rendering, values: Float[Tensor, "n 2"]) -> Float[Tensor, "h w 2"]:
    """Two values per Gaussian, blended like colours over black with the projection and tile lists of `rendering`.

    Values may be beyond float32: half of its range leaves room for the rounding of a blend of weight 1.
    """
    values = F.pad(values.clamp_max(0.5 * torch.finfo(torch.float32).max).float(), (0, 1))
    projection = dataclasses.replace(rendering.projection, rgb=values)
    return blend_warp(projection, rendering.tiles, torch.zeros_like(rendering.color))[0][..., :2]


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        means2d: Float[Tensor, "n 2"],
        conics: Float[Tensor, "n 3"],
        opacities: Float[Tensor, " n"],
        rgb: Float[Tensor, "n 3"],
        depths: Float[Tensor, " n"],
        background: Float[Tensor, "h w 3"],
        splats: Splats,
        tiles: TileLists,
    ) -> tuple[Tensor, Tensor, Tensor]:
        color = torch.empty_like(background, memory_format=torch.contiguous_format)
        depth, alpha, transmittance = color.new_empty(3, *color.shape[:2]).unbind()
        images = Images()
        images.background, images.color = as_warp(background, wp.vec3), as_warp(color, wp.vec3)
        images.depth, images.alpha = as_warp(depth, wp.float32), as_warp(alpha, wp.float32)
        images.transmittance = as_warp(transmittance, wp.float32)
        launch(blend_forward, num_blocks(splats, background.device), [splats, images], background.device)
        ctx.save_for_backward(color, depth, alpha, transmittance)  # the Gaussians are in the records of `splats`
        ctx.splats, ctx.tiles = splats, tiles
        return color, depth, alpha

    @staticmethod
    def backward(
        ctx: Any, grad_color: Float[Tensor, "h w 3"], grad_depth: Float[Tensor, "h w"], grad_alpha: Float[Tensor, "h w"]
    ) -> tuple[Tensor | None, ...]:
        color, depth, alpha, transmittance = ctx.saved_tensors
        images = ImageGradients()
        images.color, images.depth = as_warp(grad_color, wp.vec3), as_warp(depth, wp.float32)
        images.depth_sum = as_warp(torch.where(alpha > 0, grad_depth / alpha, 0.0), wp.float32)
        images.remaining = as_warp((color * grad_color).sum(-1) - transmittance * grad_alpha, wp.float32)
        totals = _gradients(ctx.splats, images, ctx.tiles)
        means2d, conics, opacities, rgb, depths = totals.split([2, 3, 1, 3, 1], 1)
        through = transmittance[..., None] * grad_color
        return means2d, conics, opacities[:, 0], rgb, depths[:, 0], through, None, None


def _gradients(splats: Splats, images: ImageGradients, tiles: TileLists) -> Float[Tensor, "n 10"]:
    """On CUDA with atomics. On the CPU every (tile, Gaussian) pair has a slot, and they are added in a fixed order."""
    ids, num = tiles.gaussian_ids, splats.records.shape[0]
    totals = torch.zeros(num, NUM_GRADIENTS, device=ids.device)
    if not blocks_are_tiles(ids.device):
        arrays = [as_warp(ids, wp.int32), as_warp(totals, wp.float32)]
        launch(blend_backward, num_blocks(splats, ids.device), [splats, images, *arrays], ids.device)
        return totals
    slots, starts = private_slots(ids, num)
    per_slot = torch.zeros(len(ids), NUM_GRADIENTS)
    arrays = [as_warp(slots, wp.int32), as_warp(per_slot, wp.float32)]
    launch(blend_backward, num_blocks(splats, ids.device), [splats, images, *arrays], ids.device)
    add_slots(starts, per_slot, totals)
    return totals
