"""Codecs of other strides than Wan2.1's, named in a configuration by their import path."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKLWan
from einops import rearrange
from torch import Tensor, nn

from faithfusion.video.model.codecs.base import NormalisedCodec
from faithfusion.video.model.codecs.wan import WanVae
from faithfusion.video.model.config import CodecConfig


class Wan22Vae(WanVae):
    """Wan2.2's VAE as diffusers has it: 16 x 16 x 4, residual shortcuts, patches of 2 x 2 pixels."""

    stride = 16

    def __init__(self, config: CodecConfig) -> None:
        NormalisedCodec.__init__(self, config.latent_channels)
        self.vae = AutoencoderKLWan(
            base_dim=config.wan.base_dim,
            decoder_base_dim=config.wan.base_dim,
            z_dim=config.latent_channels,
            dim_mult=list(config.wan.dim_mult),
            num_res_blocks=config.wan.num_res_blocks,
            temperal_downsample=[False, True, True],
            latents_mean=[0.0] * config.latent_channels,
            latents_std=[1.0] * config.latent_channels,
            is_residual=True,
            in_channels=12,
            out_channels=12,
            patch_size=2,
            scale_factor_spatial=16,
        )


class PixelCodec(NormalisedCodec):
    """The pixels of a cell of 4 x 4 x 2 as channels: nothing is lost."""

    stride = 4
    chunk_frames = 2

    def __init__(self, config: CodecConfig) -> None:
        super().__init__(config.latent_channels)
        self.gain = nn.Parameter(torch.ones(1))

    def encode_raw(self, video: Tensor) -> Tensor:
        filled = torch.cat([video[:, :, :1], video], dim=2)
        return self.gain * rearrange(filled, "b c (k f) (h p) (w q) -> b (c f p q) k h w", f=2, p=4, q=4)

    def decode_raw(self, latents: Tensor) -> Tensor:
        return rearrange(latents / self.gain, "b (c f p q) k h w -> b c (k f) (h p) (w q)", f=2, p=4, q=4)[:, :, 1:]
