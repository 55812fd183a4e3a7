"""The Warp rasteriser as a differentiable torch function, for CPU and CUDA tensors."""

from __future__ import annotations

from typing import Any

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from faithfusion.render.warp_kernels import Gradients, Splats, blend_backward, blend_forward, number_slots, sum_slots
from faithfusion.render.warp_launch import as_warp, launch, prepare_warp
from faithfusion.types import Projection, TileLists


def blend_warp(
    projection: Projection, tiles: TileLists, background: Float[Tensor, "h w 3"]
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Colour over the background, expected depth and alpha, differentiable in all inputs, which are float32.

    On the CPU the result and the gradients are bitwise the same for any number of threads.
    """
    screen = (projection.means2d, projection.conics, projection.opacities, projection.rgb, projection.depths)
    return _Blend.apply(*screen, background, tiles)


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
        tiles: TileLists,
    ) -> tuple[Tensor, Tensor, Tensor]:
        height, width = background.shape[:2]
        screen = (means2d, conics, opacities, rgb, depths)
        splats = _splats(screen, tiles, width, height)
        color, depth = background.new_zeros(background.shape), background.new_zeros(height, width)
        alpha, transmittance = torch.zeros_like(depth), torch.ones_like(depth)
        images = [as_warp(background, wp.vec3), as_warp(color, wp.vec3)]
        images += [as_warp(image, wp.float32) for image in (depth, alpha, transmittance)]
        launch(blend_forward, _num_blocks(splats), [splats, *images], background.device)
        ctx.save_for_backward(*screen, color, depth, alpha, transmittance)
        ctx.tiles = tiles
        return color, depth, alpha

    @staticmethod
    def backward(
        ctx: Any, grad_color: Float[Tensor, "h w 3"], grad_depth: Float[Tensor, "h w"], grad_alpha: Float[Tensor, "h w"]
    ) -> tuple[Tensor | None, ...]:
        *screen, color, depth, alpha, transmittance = ctx.saved_tensors
        height, width = depth.shape
        splats = _splats(tuple(screen), ctx.tiles, width, height)
        grad_depth_sum = torch.where(alpha > 0, grad_depth / alpha, 0.0)
        remaining = (color * grad_color).sum(-1) - transmittance * grad_alpha
        images = [as_warp(grad_color, wp.vec3)]
        images += [as_warp(i, wp.float32) for i in (grad_depth_sum, depth, remaining, torch.ones_like(depth))]
        totals = tuple(torch.zeros_like(parameter) for parameter in screen)
        if depth.device.type == "cuda":
            gradients = _gradients(totals, ctx.tiles.gaussian_ids)
            launch(blend_backward, _num_blocks(splats), [splats, *images, gradients], depth.device)
        else:
            _backward_in_slots(splats, images, ctx.tiles.gaussian_ids, totals)
        return *totals, transmittance[..., None] * grad_color, None


def _backward_in_slots(
    splats: Splats, images: list[wp.array], gaussian_ids: Int[Tensor, " m"], totals: tuple[Tensor, ...]
) -> None:
    """Gradients without atomics: one private slot per (tile, Gaussian) pair, then a sum per Gaussian in fixed order."""
    num, device = totals[0].shape[0], gaussian_ids.device
    starts = torch.zeros(num + 1, dtype=torch.int32)
    starts[1:] = torch.bincount(gaussian_ids, minlength=num).cumsum(0)
    slots = torch.empty_like(gaussian_ids)
    arrays = [as_warp(tensor, wp.int32) for tensor in (gaussian_ids, starts[:-1].clone(), slots)]
    wp.launch(number_slots, dim=1, inputs=arrays, device="cpu")
    per_slot = _gradients(tuple(t.new_zeros(gaussian_ids.shape[0], *t.shape[1:]) for t in totals), slots)
    launch(blend_backward, _num_blocks(splats), [splats, *images, per_slot], device)
    launch(sum_slots, num, [as_warp(starts, wp.int32), per_slot, _gradients(totals, slots)], device)


def _splats(screen: tuple[Tensor, ...], tiles: TileLists, width: int, height: int) -> Splats:
    prepare_warp()
    splats = Splats()
    dtypes = (wp.vec2, wp.vec3, wp.float32, wp.vec3, wp.float32)
    arrays = [as_warp(tensor, dtype) for tensor, dtype in zip(screen, dtypes, strict=True)]
    splats.means2d, splats.conics, splats.opacities, splats.rgb, splats.depths = arrays
    splats.offsets, splats.gaussian_ids = as_warp(tiles.offsets, wp.int32), as_warp(tiles.gaussian_ids, wp.int32)
    splats.width, splats.height = width, height
    splats.tile_size, splats.tiles_x = tiles.tile_size, tiles.tiles_x
    splats.block_px = 1 if screen[0].device.type == "cuda" else tiles.tile_size
    return splats


def _gradients(tensors: tuple[Tensor, ...], slots: Int[Tensor, " m"]) -> Gradients:
    gradients = Gradients()
    dtypes = (wp.vec2, wp.vec3, wp.float32, wp.vec3, wp.float32)
    arrays = [as_warp(tensor, dtype) for tensor, dtype in zip(tensors, dtypes, strict=True)]
    gradients.means2d, gradients.conics, gradients.opacities, gradients.rgb, gradients.depths = arrays
    gradients.slots = as_warp(slots, wp.int32)
    return gradients


def _num_blocks(splats: Splats) -> int:
    return -(-splats.width // splats.block_px) * -(-splats.height // splats.block_px)
