"""A generator and windows small enough for unit tests."""

from __future__ import annotations

import dataclasses

import torch

from faithfusion.types import EigVolume, Window
from faithfusion.utils.seed import make_generator
from faithfusion.video.branch import BranchConfig
from faithfusion.video.model import Generator, GeneratorConfig, build_generator
from faithfusion.video.vae import CodecConfig, TinyVaeConfig
from faithfusion.video.wan import WanConfig

TINY_VAE = TinyVaeConfig(width_quarter=16, width_eighth=16, width_chunk=16, blocks_quarter=1)
TINY = GeneratorConfig(
    codec=CodecConfig(latent_channels=8, tiny=TINY_VAE),
    wan=WanConfig(num_layers=3, num_heads=2, head_dim=12, ffn_dim=32, text_dim=8, freq_dim=16, rope_max_len=32),
    branch=BranchConfig(num_blocks=2),
    prompt_tokens=2,
)


def tiny_generator(seed: int = 0, *, trained: bool = False, **changes: object) -> Generator:
    """`trained`: output projections that start at zero get random values, as any training would leave them."""
    random = make_generator(seed, "tiny generator")
    generator = build_generator(dataclasses.replace(TINY, **changes), random)
    if trained:
        with torch.no_grad():
            for weight in (generator.backbone.proj_out.weight, *(p.weight for p in generator.branch.projections)):
                weight.copy_(0.3 * torch.randn(weight.shape, generator=random))
    return generator.eval()


def tiny_window(frames: int = 5, height: int = 32, width: int = 48, seed: int = 0) -> Window:
    """Random colours; expected error grows from left to right over two decades."""
    random = make_generator(seed, "tiny window")
    rms = torch.logspace(-3, 0, width).expand(frames, height, width).clone()
    eig = EigVolume(eig_nats=rms * 5.0, expected_sq_error=0.1 * rms.square(), alpha=torch.ones_like(rms))
    return Window(
        render=torch.rand(frames, height, width, 3, generator=random),
        eig=eig,
        depth=torch.full((frames, height, width), 10.0),
        references=torch.rand(1, height, width, 3, generator=random),
        known=torch.zeros(frames, dtype=torch.bool),
        truth=torch.rand(frames, height, width, 3, generator=random),
    )
