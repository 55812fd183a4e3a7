"""Wan2.1's causal video VAE."""

from __future__ import annotations

from diffusers import AutoencoderKLWan
from jaxtyping import Float
from torch import Tensor

from faithfusion.video.model.codecs.base import NormalisedCodec
from faithfusion.video.model.config import CodecConfig


class WanVae(NormalisedCodec):
    """diffusers' `AutoencoderKLWan` at any size; `encode` gives the posterior mean."""

    stride = 8
    chunk_frames = 4

    def __init__(self, config: CodecConfig) -> None:
        super().__init__(config.latent_channels)
        halves_time = [False, True, True]
        self.vae = AutoencoderKLWan(
            base_dim=config.wan.base_dim,
            z_dim=config.latent_channels,
            dim_mult=list(config.wan.dim_mult),
            num_res_blocks=config.wan.num_res_blocks,
            temperal_downsample=halves_time,
        )

    def encode_raw(self, video: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c k y x"]:
        return self.vae.encode(video).latent_dist.mode()

    def decode_raw(self, latents: Float[Tensor, "b c k y x"]) -> Float[Tensor, "b 3 t h w"]:
        return self.vae.decode(latents).sample
