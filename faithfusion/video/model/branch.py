"""Context branch: DiT blocks that read render and EIG and add to the tokens of the frozen backbone.

Two starts of one graph. `dit`: VideoPainter's (Bian et al. 2025), blocks cloned from the backbone with zero-initialised
output projections. `vace`: VACE's (Jiang et al. 2025), whose public adapter fits in. Both read the whole render and the
pooled EIG beside what they were made for, through weights that start at zero, and a soft, learned gate of the noise
level phi takes the place of a binary mask.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.utils.errors import InputError
from faithfusion.video.model.attention import KeysValues
from faithfusion.video.model.block import BlockInputs, WanBlock, run_block
from faithfusion.video.model.conditioning import LatentConditions
from faithfusion.video.model.config import BranchConfig
from faithfusion.video.model.mixture import start_logit
from faithfusion.video.model.reference_attention import ReferenceAttention
from faithfusion.video.model.spec import BackboneSpec
from faithfusion.video.model.wan import WanBackbone, patchify


def injection_map(config: BranchConfig, num_layers: int) -> tuple[int, ...]:
    """The number of the branch sample that every backbone block's output gets, -1 for none.

    dit: sample i // ceil(layers / N) after each block; vace: sample n after block n * (layers // N) only.
    Raises InputError for more branch blocks than layers.
    """
    count = config.num_blocks
    if count > num_layers:
        raise InputError("branch.num_blocks", count, f"at most the backbone's {num_layers} layers")
    if config.init == "dit":
        return tuple(layer // -(-num_layers // count) for layer in range(num_layers))
    places = {sample * (num_layers // count): sample for sample in range(count)}
    return tuple(places.get(layer, -1) for layer in range(num_layers))


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
    """Reads one channel stack per token; gives one sample per block for `wan_forward` to add.

    dit:  [noisy latent | render latent | EIG block | inverse depth | warped views]
    vace: [VACE's context | render latent | EIG block | inverse depth | warped views], projected and added to the
          backbone's tokens
    """

    def __init__(self, config: BranchConfig, backbone: WanBackbone, spec: BackboneSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.checkpoint_blocks = False
        self.injection = injection_map(config, len(backbone.blocks))
        self.blocks = nn.ModuleList(
            WanBlock(copy.deepcopy(block).float(), f"branch.{i}")
            for i, block in enumerate(backbone.blocks[: config.num_blocks])
        )
        source, dim = backbone.patch_embedding, backbone.patch_embedding.out_channels
        new = spec.eig_channels + config.depth + config.warped * spec.warped_channels
        if config.init == "dit":
            self.patch_embedding = _extended(source, copies=2, new=new)
        else:
            # random until an adapter comes; everything of ours starts at zero in any case
            context = nn.Conv3d(spec.vace_channels, dim, source.kernel_size, source.stride)
            self.patch_embedding = _extended(context, copies=1, new=source.in_channels + new)
            self.proj_in = _zeroed(nn.Linear(dim, dim))
        self.projections = nn.ModuleList(_zeroed(nn.Linear(dim, dim)) for _ in self.blocks)
        self.gate = MonotoneGate()
        if config.references:
            self.references = ReferenceAttention(source, backbone.blocks[0].attn1.heads, config.num_blocks)
        if config.mix_views:
            self.mixer = _zeroed(nn.Linear(dim, spec.patch**2 * (1 + config.warped)))
            with torch.no_grad():
                self.mixer.bias.view(spec.patch**2, -1)[:, 0] = start_logit(config.warped)

    def forward(
        self,
        noisy: Float[Tensor, "b c t h w"],
        backbone_tokens: Float[Tensor, "b l d"],
        conditions: LatentConditions,
        inputs: BlockInputs,
    ) -> list[Float[Tensor, "b l d"]]:
        """Gated samples, w(phi) * projection(block output), one per branch block."""
        tokens = patchify(self.patch_embedding, self._channels(noisy, conditions), inputs.chosen)
        if self.config.init == "vace":
            tokens = self.proj_in(tokens) + backbone_tokens.type_as(tokens)
        weight = self.gate(inputs.choose(conditions.phi.flatten(1)[..., None]))
        keys_values, rays = self._references(conditions, inputs)
        samples = []
        for index, projection in enumerate(self.projections):
            given = (index, tokens, inputs, rays, keys_values)
            tokens = run_block(self._block, *given, recompute=self.checkpoint_blocks)
            samples.append((weight * projection(tokens)).type_as(tokens))
        return samples

    def _block(
        self, index: int, tokens: Tensor, inputs: BlockInputs, rays: Tensor | None, keys_values: Sequence[KeysValues]
    ) -> Float[Tensor, "b l d"]:
        """References, then the block: what is recomputed together in the backward pass."""
        if keys_values:
            tokens = tokens + self.references(index, tokens, rays, keys_values)
        return self.blocks[index](tokens, inputs)

    def _channels(self, noisy: Tensor, conditions: LatentConditions) -> Float[Tensor, "b stack t h w"]:
        first = noisy if self.config.init == "dit" else conditions.vace
        parts = [first, conditions.render_latent, conditions.eig_block]
        if self.config.depth:
            parts.append(conditions.inverse_depth)
        if self.config.warped:
            parts.append(conditions.warped)
        return torch.cat(parts, dim=1)

    def _references(
        self, conditions: LatentConditions, inputs: BlockInputs
    ) -> tuple[Sequence[KeysValues], Tensor | None]:
        if not self.config.references or conditions.references is None:
            return (), None
        rays = inputs.choose(conditions.references.token_rays.flatten(2).transpose(1, 2))
        return conditions.reference_keys or self.references.keys_values(conditions.references), rays

    @torch.no_grad()
    def load_vace(self, adapter: Mapping[str, Tensor]) -> None:
        """Takes over a VACE adapter in diffusers' names (`vace_blocks.N.*`, `vace_patch_embedding.*`): from then on
        the branch is VACE, until it is trained.

        Raises InputError for an adapter of other sizes or another number of blocks.
        """
        state = self.state_dict()
        left = set(adapter)
        for name, target in self._vace_names():
            value = adapter.get(name)
            slot = state[target]
            if target == "patch_embedding.weight" and value is not None:
                slot = slot[:, : value.shape[1]]
            if (
                value is None
                or slot.shape != value.shape
                or (value.ndim == 5 and value.shape[1] != self.spec.vace_channels)
            ):
                found = "nothing" if value is None else list(value.shape)
                raise InputError(f"VACE adapter {name}", found, f"{list(slot.shape)} as in the configuration")
            slot.copy_(value)
            left.discard(name)
        if left:
            raise InputError("VACE adapter", f"also has {sorted(left)[:3]}", f"{len(self.blocks)} blocks")

    def _vace_names(self) -> list[tuple[str, str]]:
        """(name in diffusers' adapter, name here) of every tensor of the adapter."""
        names = [(f"vace_patch_embedding.{kind}", f"patch_embedding.{kind}") for kind in ("weight", "bias")]
        names += [(f"vace_blocks.0.proj_in.{kind}", f"proj_in.{kind}") for kind in ("weight", "bias")]
        for index, block in enumerate(self.blocks):
            names += [(f"vace_blocks.{index}.{name}", f"blocks.{index}.{name}") for name in block.state_dict()]
            names += [
                (f"vace_blocks.{index}.proj_out.{kind}", f"projections.{index}.{kind}") for kind in ("weight", "bias")
            ]
        return names


def _extended(source: nn.Conv3d, *, copies: int, new: int) -> nn.Conv3d:
    """The kernel of `source` for each of `copies` channel groups, zeros for `new` channels after them."""
    channels = source.in_channels
    embedding = nn.Conv3d(copies * channels + new, source.out_channels, source.kernel_size, source.stride)
    with torch.no_grad():
        embedding.weight.zero_()
        embedding.weight[:, : copies * channels].copy_(source.weight.repeat(1, copies, 1, 1, 1))
        embedding.bias.copy_(source.bias)
    return embedding


def _zeroed(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
