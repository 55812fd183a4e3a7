"""Codec training: reconstruct true and rendered clips; latent statistics are measured at the end."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from faithfusion.training.data import ClipBatch
from faithfusion.training.method_config import CodecMethodConfig
from faithfusion.video.model.codecs.base import NormalisedCodec
from faithfusion.video.model.generator import Generator


class CodecMethod(nn.Module):
    """Trains `generator.codec`."""

    def __init__(self, config: CodecMethodConfig, generator: Generator) -> None:
        super().__init__()
        self._config = config
        generator.requires_grad_(False)
        self.codec = generator.codec.requires_grad_(True)

    def forward(self, batch: ClipBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one micro-batch and what to log; noise is drawn from `generator`."""
        latents = self.codec.encode_raw(batch.video)
        noise = torch.randn(latents.shape, generator=generator, device=generator.device)
        decoded = self.codec.decode_raw(latents + self._config.latent_noise * noise.to(latents)).float()
        l1 = (decoded - batch.video).abs().mean()
        gradient = gradient_distance(decoded, batch.video)
        size = latents.float().square().mean()
        loss = l1 + self._config.gradient_weight * gradient + self._config.latent_penalty * size
        mse = (0.5 * (decoded.detach() - batch.video)).square().mean()
        return loss, {"l1": l1, "gradient": gradient, "latent_square": size, "psnr_db": -10.0 * torch.log10(mse)}


def gradient_distance(
    video: Float[Tensor, "b 3 t h w"], truth: Float[Tensor, "b 3 t h w"], scales: int = 3
) -> Float[Tensor, ""]:
    """L1 distance of horizontal and vertical differences, averaged over `scales` halvings of the images."""
    error = rearrange(video - truth, "b c t h w -> (b t) c h w")
    total = error.new_zeros(())
    for scale in range(scales):
        error = error if scale == 0 else F.avg_pool2d(error, 2)
        total = total + error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return total / scales


@torch.no_grad()
def measure_statistics(codec: NormalisedCodec, clips: Iterable[Float[Tensor, "3 t h w"]]) -> None:
    """Stores the mean and deviation per channel of the raw latents of `clips` (in [-1, 1]) in the codec."""
    count, total, squares = 0, torch.zeros(1).double(), torch.zeros(1).double()
    for clip in clips:
        latents = rearrange(codec.encode_raw(clip[None]), "1 c t h w -> c (t h w)").double()
        count += latents.shape[1]
        total, squares = total + latents.sum(1).cpu(), squares + latents.square().sum(1).cpu()
    mean = total / count
    codec.set_statistics(mean.float(), (squares / count - mean.square()).clamp_min(1e-8).sqrt().float())
