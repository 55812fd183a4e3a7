"""From an EIG volume to what the generator reads: an EIG block per latent cell and a noise level phi per token.

Everything is pooled over the frames of a VAE chunk ({0}, {1..4}, {5..8}, ...), never sampled in time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.clips.windows import CHUNK_FRAMES
from faithfusion.types import EigVolume
from faithfusion.video.schedule import PATCH
from faithfusion.video.vae import DOWNSAMPLING

EIG_CHANNELS = DOWNSAMPLING**2 + 4  # unshuffled maximum, mean, maximum, fraction above the threshold, coverage


@dataclass(frozen=True)
class ConditioningConfig:
    """How calibrated error becomes noise.

    Attributes:
        noise_over_error: k in phi = k r / (1 + k r), r the expected RMS error of the render in [-1, 1] units.
        token_quantile: quantile of the error over a token's pixels and frames that sets its phi (1 = maximum); one
            frame of four alone is a quarter of a token, so any value above 0.75 notices it.
        marked_rms: expected RMS error, colours in [0, 1], above which a pixel counts in the channel "fraction above";
            fixed by training (what is reported as regenerated is `EditorConfig.regenerate_rms`).
    """

    noise_over_error: float = 5.0
    token_quantile: float = 0.95
    marked_rms: float = 0.1


@dataclass(frozen=True)
class LatentConditions:
    """What the generator is told about a batch of windows."""

    render_latent: Float[Tensor, "b c t h w"]
    eig_block: Float[Tensor, "b e t h w"]
    phi: Float[Tensor, "b t th tw"]  # noise level of every token, 0 = certain, 1 = unknown


def noise_level(expected_sq_error: Float[Tensor, "*shape"], config: ConditioningConfig) -> Float[Tensor, "*shape"]:
    """phi in [0, 1) from the calibrated squared error V (colours in [0, 1]); strictly monotone, 0 at V = 0."""
    scaled = config.noise_over_error * 2.0 * expected_sq_error.clamp_min(0.0).sqrt()  # 2: from [0, 1] to [-1, 1]
    return scaled / (1.0 + scaled)


def rms_error(phi: Float[Tensor, "*shape"], config: ConditioningConfig) -> Float[Tensor, "*shape"]:
    """Inverse of `noise_level` as an RMS error in [-1, 1] units; infinite at phi = 1."""
    return phi / (config.noise_over_error * (1.0 - phi))


def pool_eig(
    volume: EigVolume, known: Bool[Tensor, " t"], config: ConditioningConfig
) -> tuple[Float[Tensor, "e k h8 w8"], Float[Tensor, "k th tw"]]:
    """EIG block [68, T', H/8, W/8] and phi [T', H/16, W/16] of one window; known frames count as certain."""
    error = torch.where(known[:, None, None], 0.0, volume.expected_sq_error.float())
    level = chunk_frames(noise_level(error, config))
    cells = {"p": DOWNSAMPLING, "q": DOWNSAMPLING}
    channels = [
        rearrange(level.amax(1), "k (h p) (w q) -> (p q) k h w", **cells),
        reduce(level, "k f (h p) (w q) -> 1 k h w", "mean", **cells),
        reduce(level, "k f (h p) (w q) -> 1 k h w", "max", **cells),
        reduce((chunk_frames(error) > config.marked_rms**2).float(), "k f (h p) (w q) -> 1 k h w", "mean", **cells),
        reduce(chunk_frames(volume.alpha.float()), "k f (h p) (w q) -> 1 k h w", "mean", **cells),
    ]
    side = PATCH * DOWNSAMPLING
    tokens = rearrange(level, "k f (h p) (w q) -> k h w (f p q)", p=side, q=side)
    rank = max(1, round(config.token_quantile * tokens.shape[-1]))
    return torch.cat(channels), tokens.kthvalue(rank, dim=-1).values


def chunk_frames(values: Float[Tensor, "t h w"]) -> Float[Tensor, "k f h w"]:
    """Frames by VAE chunk; frame 0 is repeated to fill its own."""
    filled = torch.cat([values[:1].expand(CHUNK_FRAMES - 1, -1, -1), values])
    return rearrange(filled, "(k f) h w -> k f h w", f=CHUNK_FRAMES)
