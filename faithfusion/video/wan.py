"""The backbone: diffusers' Wan2.1 DiT at any size, run block by block so that a branch can add to its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from diffusers import WanTransformer3DModel
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from faithfusion.video.schedule import PATCH

TIME_SCALE = 1000.0  # Wan embeds flow times in [0, 1] as 0 .. 1000


@dataclass(frozen=True)
class WanConfig:
    """Sizes of the DiT; the defaults are wan-tiny. Wan2.1-1.3B: 30 layers, 12 heads of 128, ffn 8960, text 4096.

    Attributes:
        num_layers: transformer blocks.
        num_heads: attention heads.
        head_dim: channels per head.
        ffn_dim: hidden channels of the feed-forward network.
        text_dim: channels of the prompt embedding.
        freq_dim: channels of the sinusoidal time embedding.
        rope_max_len: largest number of token positions along any axis.
    """

    num_layers: int = 6
    num_heads: int = 8
    head_dim: int = 32
    ffn_dim: int = 768
    text_dim: int = 64
    freq_dim: int = 256
    rope_max_len: int = 1024

    @property
    def dim(self) -> int:
        """Channels of a token."""
        return self.num_heads * self.head_dim


@dataclass(frozen=True)
class BlockInputs:
    """What every transformer block reads beside its tokens; shared by backbone and branch."""

    prompt: Float[Tensor, "b p d"]
    time_embedding: Float[Tensor, "b ... d"]
    time_modulation: Float[Tensor, "b ... 6 d"]
    rotary: tuple[Tensor, Tensor]


def build_backbone(config: WanConfig, latent_channels: int) -> WanTransformer3DModel:
    """A randomly initialised Wan DiT with patches of 1 x 2 x 2 latent cells."""
    return WanTransformer3DModel(
        patch_size=(1, PATCH, PATCH),
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
        rope_max_seq_len=config.rope_max_len,
    )


def block_inputs(
    backbone: WanTransformer3DModel,
    latents: Float[Tensor, "b c t h w"],
    time: Float[Tensor, "b ..."],
    prompt: Float[Tensor, "b p e"],
) -> BlockInputs:
    """Embeds flow time in [0, 1], one per sample or one per token, and the prompt; rotary tables for the token grid."""
    per_token = time.shape[1] if time.ndim == 2 else None
    embedding, modulation, text, _ = backbone.condition_embedder(
        time.flatten() * TIME_SCALE, prompt, None, timestep_seq_len=per_token
    )
    return BlockInputs(text, embedding, modulation.unflatten(-1, (6, -1)), backbone.rope(latents))


def wan_forward(
    backbone: WanTransformer3DModel,
    latents: Float[Tensor, "b c t h w"],
    inputs: BlockInputs,
    branch_samples: Sequence[Float[Tensor, "b l d"]] = (),
) -> Float[Tensor, "b c t h w"]:
    """Velocity of the backbone. With N branch samples, block i's output gets sample i // ceil(num_layers / N).

    Equals `WanTransformer3DModel.forward` when there is no branch.
    """
    tokens = patchify(backbone.patch_embedding, latents)
    per_sample = -(-len(backbone.blocks) // len(branch_samples)) if branch_samples else 0
    for index, block in enumerate(backbone.blocks):
        tokens = block(tokens, inputs.prompt, inputs.time_modulation, inputs.rotary)
        if branch_samples:
            tokens = tokens + branch_samples[index // per_sample]
    tokens = backbone.proj_out(_modulated_norm(backbone, tokens, inputs.time_embedding))
    grid = {"t": latents.shape[2], "h": latents.shape[3] // PATCH, "w": latents.shape[4] // PATCH}
    return rearrange(tokens, "b (t h w) (p q c) -> b c t (h p) (w q)", p=PATCH, q=PATCH, **grid)


def patchify(embedding: object, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b l d"]:
    """Patch convolution, then tokens in (t, h, w) order."""
    return rearrange(embedding(latents), "b d t h w -> b (t h w) d").contiguous()


def _modulated_norm(
    backbone: WanTransformer3DModel, tokens: Float[Tensor, "b l d"], time_embedding: Float[Tensor, "b ... d"]
) -> Float[Tensor, "b l d"]:
    per_token = time_embedding if time_embedding.ndim == 3 else time_embedding[:, None]
    shift, scale = (backbone.scale_shift_table[:, None] + per_token[:, :, None]).unbind(2)
    return (backbone.norm_out(tokens.float()) * (1.0 + scale) + shift).type_as(tokens)
