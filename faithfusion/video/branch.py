"""Context branch: a few DiT blocks that read render and EIG and add to the tokens of the backbone.

VideoPainter's idea (Bian et al. 2025: cloned blocks, zero-initialised output projections), with the whole render
instead of a masked one and a soft, learned gate of the noise level phi instead of a binary mask.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from diffusers import WanTransformer3DModel
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.video.conditioning import EIG_CHANNELS, LatentConditions
from faithfusion.video.wan import BlockInputs, patchify


@dataclass(frozen=True)
class BranchConfig:
    """Sizes of the context branch.

    Attributes:
        num_blocks: blocks cloned from the backbone's first ones.
    """

    num_blocks: int = 2


class MonotoneGate(nn.Module):
    """w(phi) = offset + gain * phi ** exponent: monotone in phi for any parameters, 1 everywhere at the start.

    Parameters have shape [1], because DeepSpeed cannot broadcast those of shape [].
    """

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.ones(1))
        self.gain = nn.Parameter(torch.zeros(1))
        self.log_exponent = nn.Parameter(torch.zeros(1))

    def forward(self, phi: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.offset + self.gain * phi.clamp_min(1e-4) ** self.log_exponent.exp()


class ContextBranch(nn.Module):
    """Reads [noisy latent | render latent | EIG block] per token; one sample per block for `wan_forward` to add."""

    def __init__(self, config: BranchConfig, backbone: WanTransformer3DModel) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(copy.deepcopy(block) for block in backbone.blocks[: config.num_blocks])
        self.patch_embedding = _extended_patch_embedding(backbone.patch_embedding)
        dim = backbone.patch_embedding.out_channels
        self.projections = nn.ModuleList(nn.Linear(dim, dim) for _ in self.blocks)
        for projection in self.projections:
            nn.init.zeros_(projection.weight)
            nn.init.zeros_(projection.bias)
        self.gate = MonotoneGate()

    def forward(
        self, noisy: Float[Tensor, "b c t h w"], conditions: LatentConditions, inputs: BlockInputs
    ) -> list[Float[Tensor, "b l d"]]:
        """Gated samples, w(phi) * projection(block output), one per branch block."""
        stacked = torch.cat([noisy, conditions.render_latent, conditions.eig_block], dim=1)
        tokens = patchify(self.patch_embedding, stacked)
        weight = self.gate(conditions.phi).flatten(1)[..., None]
        samples = []
        for block, projection in zip(self.blocks, self.projections, strict=True):
            tokens = block(tokens, inputs.prompt, inputs.time_modulation, inputs.rotary)
            samples.append(weight * projection(tokens))
        return samples


def _extended_patch_embedding(source: nn.Conv3d) -> nn.Conv3d:
    """The backbone's kernel for the noisy and for the render latent (both are latents), zeros for the EIG block."""
    channels = source.in_channels
    embedding = nn.Conv3d(2 * channels + EIG_CHANNELS, source.out_channels, source.kernel_size, source.stride)
    with torch.no_grad():
        embedding.weight.zero_()
        embedding.weight[:, :channels].copy_(source.weight)
        embedding.weight[:, channels : 2 * channels].copy_(source.weight)
        embedding.bias.copy_(source.bias)
    return embedding
