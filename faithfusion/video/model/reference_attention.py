"""Recorded views beside a clip: cross-attention from the branch's tokens, placed by camera rays.

A token and a reference patch meet through their rays in one frame (Pluecker coordinates: direction and moment), so any
camera of the rig at any time can be a reference. Keys and values of a clip's references are computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.types import ViewPoses
from faithfusion.video.model.attention import KeysValues, attention

RAY_OCTAVES = 4
RAY_FEATURES = 6 * (1 + 2 * RAY_OCTAVES)
MOMENT_SCALE_M = 10.0  # brings moments in metres to the size of directions


@dataclass(frozen=True)
class ReferenceViews:
    """References of a batch of windows and the rays of the windows' tokens, in the frame of each window's first
    camera."""

    latent: Float[Tensor, "b r c h w"]
    rays: Float[Tensor, "b r 6 rh rw"]
    token_rays: Float[Tensor, "b 6 t th tw"]


def pluecker_rays(
    poses: ViewPoses, frame: Float[Tensor, "4 4"], height: int, width: int, cell: int
) -> Float[Tensor, "n 6 h w"]:
    """Rays through the centres of `cell` x `cell` pixels: unit direction, and moment o x d over MOMENT_SCALE_M, with
    axes and origin of `frame` (world_from_frame, rigid)."""
    rows = (torch.arange(height // cell) + 0.5) * cell
    columns = (torch.arange(width // cell) + 0.5) * cell
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)])
    local = torch.linalg.inv(frame.double()) @ poses.world_from_camera.double()
    directions = local[:, :3, :3] @ torch.linalg.inv(poses.intrinsics.double())
    directions = torch.einsum("nij,jhw->nihw", directions, pixels.double())
    directions = directions / directions.norm(dim=1, keepdim=True)
    origins = local[:, :3, 3, None, None].expand_as(directions)
    moments = torch.linalg.cross(origins, directions, dim=1) / MOMENT_SCALE_M
    return torch.cat([directions, moments], dim=1).float()


def ray_features(rays: Float[Tensor, "... 6"]) -> Float[Tensor, "... f"]:
    """Rays with sines and cosines of RAY_OCTAVES octaves (Mildenhall et al. 2020)."""
    phases = rays[..., None] * (torch.pi * 2.0 ** torch.arange(RAY_OCTAVES, device=rays.device))
    return torch.cat([rays, phases.sin().flatten(-2), phases.cos().flatten(-2)], dim=-1)


class ReferenceAttention(nn.Module):
    """One cross-attention per branch block, added to its input; output projections start at zero."""

    def __init__(self, patch_embedding: nn.Conv3d, num_heads: int, num_blocks: int) -> None:
        super().__init__()
        dim, channels, patch = (
            patch_embedding.out_channels,
            patch_embedding.in_channels,
            patch_embedding.kernel_size[-1],
        )
        self.num_heads = num_heads
        self.patch_embedding = nn.Conv2d(channels, dim, patch, stride=patch)
        with torch.no_grad():  # the backbone's own reading of a latent is the start
            self.patch_embedding.weight.copy_(patch_embedding.weight[:, :, 0])
            self.patch_embedding.bias.copy_(patch_embedding.bias)
        self.reference_rays, self.token_rays = nn.Linear(RAY_FEATURES, dim), nn.Linear(RAY_FEATURES, dim)
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.to_q, self.to_k, self.to_v, self.to_out = (
            nn.ModuleList(nn.Linear(dim, dim) for _ in range(num_blocks)) for _ in range(4)
        )
        for projection in self.to_out:
            nn.init.zeros_(projection.weight)
            nn.init.zeros_(projection.bias)

    def keys_values(self, views: ReferenceViews) -> list[KeysValues]:
        """Keys and values of all references for every branch block."""
        batch, dtype = views.latent.shape[0], self.patch_embedding.weight.dtype
        patches = self.patch_embedding(rearrange(views.latent, "b r c h w -> (b r) c h w").to(dtype))
        tokens = rearrange(patches, "(b r) d h w -> b (r h w) d", b=batch)
        rays = ray_features(rearrange(views.rays, "b r e h w -> b (r h w) e"))
        content = self.norm(tokens)
        places = content + self.reference_rays(rays.to(dtype))
        return [
            (self._heads(to_k(places)), self._heads(to_v(content)))
            for to_k, to_v in zip(self.to_k, self.to_v, strict=True)
        ]

    def forward(
        self,
        block: int,
        tokens: Float[Tensor, "b l d"],
        rays: Float[Tensor, "b l 6"],
        keys_values: Sequence[KeysValues],
    ) -> Float[Tensor, "b l d"]:
        """The tokens that the references add to the input of branch block `block`."""
        dtype = self.patch_embedding.weight.dtype
        query = self.norm(tokens.to(dtype)) + self.token_rays(ray_features(rays).to(dtype))
        result = attention(self._heads(self.to_q[block](query)), *keys_values[block])
        return self.to_out[block](result.flatten(2)).type_as(tokens)

    def _heads(self, values: Float[Tensor, "b l d"]) -> Float[Tensor, "b l h e"]:
        return values.unflatten(-1, (self.num_heads, -1))
