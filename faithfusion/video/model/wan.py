"""The backbone: Wan2.1's DiT at any size, run block by block so that a branch can add to its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from diffusers import WanTransformer3DModel
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from faithfusion.video.model.attention import Attend, FullAttention
from faithfusion.video.model.block import BlockInputs, WanBlock, run_block
from faithfusion.video.model.config import WanConfig

TIME_SCALE = 1000.0  # Wan embeds flow times in [0, 1] as 0 .. 1000


class TimeFeatures(nn.Module):
    """Cosines and sines of the flow time in float64, as in Wan's own code: angles go up to 1000, where
    float32 (diffusers) costs 1e-5 of the output."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.half = dim // 2

    def forward(self, time: Float[Tensor, " n"]) -> Float[Tensor, "n dim"]:
        place = torch.arange(self.half, dtype=torch.float64, device=time.device)
        angles = time.double()[:, None] * 10000.0 ** (-place / self.half)
        return torch.cat([angles.cos(), angles.sin()], dim=1).float()


class WanBackbone(nn.Module):
    """The modules of diffusers' `WanTransformer3DModel` under the same parameter names, with our blocks and Wan's exact
    features of time.

    `checkpoint_blocks`: recompute activations in the backward pass.
    """

    def __init__(self, source: WanTransformer3DModel) -> None:
        super().__init__()
        self.checkpoint_blocks = False
        self.rope, self.patch_embedding = source.rope, source.patch_embedding
        self.condition_embedder = source.condition_embedder
        self.condition_embedder.timesteps_proj = TimeFeatures(source.config.freq_dim)
        self.blocks = nn.ModuleList(WanBlock(block, f"backbone.{i}") for i, block in enumerate(source.blocks))
        self.norm_out, self.proj_out = source.norm_out, source.proj_out
        self.scale_shift_table = source.scale_shift_table

    @property
    def patch(self) -> int:
        """Latent cells along each side of a token."""
        return self.patch_embedding.kernel_size[-1]


def build_backbone(config: WanConfig, latent_channels: int) -> WanBackbone:
    """A randomly initialised Wan DiT."""
    source = WanTransformer3DModel(
        patch_size=(1, config.patch, config.patch),
        num_attention_heads=config.num_heads,
        attention_head_dim=config.head_dim,
        in_channels=latent_channels,
        out_channels=latent_channels,
        text_dim=config.text_dim,
        freq_dim=config.freq_dim,
        ffn_dim=config.ffn_dim,
        num_layers=config.num_layers,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        eps=config.eps,
        rope_max_seq_len=config.rope_max_len,
    )
    return WanBackbone(source)


@dataclass(frozen=True)
class TokenTimes:
    """Flow times in [0, 1] of a batch: n levels per sample, and which of them every token has (None: n = 1)."""

    levels: Float[Tensor, "b n"]
    index: Int[Tensor, "b whole"] | None = None


def block_inputs(
    backbone: WanBackbone,
    latents: Float[Tensor, "b c t h w"],
    times: TokenTimes,
    prompt: Float[Tensor, "b p e"],
    attend: Attend | None = None,
    chosen: Int[Tensor, " l"] | None = None,
) -> BlockInputs:
    """Embeds times and prompt, makes the rotary tables; all for the tokens at the places `chosen` (None: all)."""
    embedder, kind = backbone.condition_embedder, latents.device.type
    # times in the precision of their weights, in training as in sampling; a meta device knows no autocast
    with nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False):
        embedding, modulation, text, _ = embedder(
            times.levels.flatten() * TIME_SCALE,
            prompt.to(embedder.time_proj.weight.dtype),
            None,
            timestep_seq_len=times.levels.shape[1],
        )
    index, rotary = times.index, backbone.rope(latents)
    if chosen is not None:
        index = None if index is None else index[:, chosen]
        rotary = tuple(table[:, chosen] for table in rotary)
    return BlockInputs(
        prompt=text,
        time_embedding=embedding,
        time_modulation=modulation.unflatten(-1, (6, -1)),
        time_index=index,
        rotary=rotary,
        attend=attend or FullAttention(),
        chosen=chosen,
    )


def last_tokens(
    backbone: WanBackbone,
    tokens: Float[Tensor, "b l d"],
    inputs: BlockInputs,
    samples: Sequence[Float[Tensor, "b l d"]] = (),
    injection: Sequence[int] = (),
) -> Float[Tensor, "b l d"]:
    """The tokens that the network's last layer reads, after all blocks and the modulated norm. Block i's tokens get
    branch sample `injection[i]`, none where that is -1. Without a branch this and `proj_out` equal
    `WanTransformer3DModel.forward` between its patch embedding and its unpatching."""
    for index, block in enumerate(backbone.blocks):
        tokens = run_block(block, tokens, inputs, recompute=backbone.checkpoint_blocks)
        if samples and injection[index] >= 0:
            tokens = tokens + samples[injection[index]].type_as(tokens)
    shift, scale = (backbone.scale_shift_table[:, None] + inputs.time_embedding[:, :, None]).unbind(2)
    normed = backbone.norm_out(tokens.float()) * (1.0 + inputs.per_token(scale)) + inputs.per_token(shift)
    return normed.type_as(tokens)


def patchify(
    embedding: nn.Conv3d, latents: Float[Tensor, "b c t h w"], chosen: Int[Tensor, " l"] | None = None
) -> Float[Tensor, "b l d"]:
    """Patch convolution, then tokens in (t, h, w) order; only those at the places `chosen`, if given."""
    latents = latents.to(embedding.weight.dtype)
    if chosen is None:
        return rearrange(embedding(latents), "b d t h w -> b (t h w) d").contiguous()
    patch = embedding.kernel_size[-1]
    patches = rearrange(latents, "b c t (h p) (w q) -> b (t h w) c p q", p=patch, q=patch)[:, chosen]
    # as a batch of clips of one token
    tokens = embedding(patches.flatten(0, 1)[:, :, None])
    return tokens.flatten(1).unflatten(0, patches.shape[:2])


def unpatchify(
    patches: Float[Tensor, "b l out"], inputs: BlockInputs, latents: Float[Tensor, "b c t h w"], patch: int
) -> Float[Tensor, "b out_c t h w"]:
    """Patches back to the grid and dtype of `latents`; zeros where no token was computed."""
    t, h, w = latents.shape[2], latents.shape[3] // patch, latents.shape[4] // patch
    if inputs.chosen is not None:
        whole = patches.new_zeros(patches.shape[0], t * h * w, patches.shape[2])
        patches = whole.index_copy(1, inputs.chosen, patches)
    grid = {"t": t, "h": h, "w": w}
    cells = rearrange(patches, "b (t h w) (p q c) -> b c t (h p) (w q)", p=patch, q=patch, **grid)
    return cells.type_as(latents)
