"""Picture quality against truth: whole frames, inside and outside the regenerated region, by EIG decile."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from faithfusion.evaluate.metrics.metric import Metric
from faithfusion.evaluate.metrics.scored_clip import ScoredClip
from faithfusion.utils.image_math import psnr_db, psnr_of

NUM_DECILES = 10


def psnr_per_frame(sq_error: Float[Tensor, "t h w"]) -> list[float]:
    """Returns the PSNR of each frame in dB."""
    return [psnr_of(of_frame) for of_frame in sq_error]


def mean_psnr_db(clip: ScoredClip) -> float:
    """Returns the mean over frames of the PSNR to the truth."""
    frames = psnr_per_frame(clip.sq_error)
    return sum(frames) / len(frames)


def mean_ssim(clip: ScoredClip) -> float:
    """Returns the mean over frames of the SSIM with the truth."""
    return sum(float(of_frame.mean()) for of_frame in clip.ssim_maps) / len(clip.ssim_maps)


def regenerated_ssim(clip: ScoredClip) -> float:
    """Returns the SSIM over the regenerated pixels of all frames together; NaN if there are none."""
    return float(torch.cat([of[mask] for of, mask in zip(clip.ssim_maps, clip.target.region, strict=True)]).mean())


PSNR = Metric(
    of=mean_psnr_db, label="PSNR", unit="dB", better="higher", decimals=2, meaning="mean over frames", is_compared=True
)
SSIM = Metric(of=mean_ssim, label="SSIM", better="higher", meaning="11-pixel Gaussian window, mean over frames")
MAE = Metric(
    of=lambda clip: float(clip.abs_error.mean()),
    label="Mean absolute error",
    better="lower",
    decimals=4,
    meaning="colours from 0 to 1",
    in_ablation=False,
)
REGENERATED_PSNR = Metric(
    of=lambda clip: psnr_of(clip.sq_error[clip.target.region]),
    label="PSNR, regenerated region",
    unit="dB",
    better="higher",
    decimals=2,
    meaning="pixels whose expected error is above the threshold",
)
REGENERATED_SSIM = Metric(of=regenerated_ssim, label="SSIM, regenerated region", better="higher", in_ablation=False)
REGENERATED_MAE = Metric(
    of=lambda clip: float(clip.abs_error[clip.target.region].mean()),
    label="Mean absolute error, regenerated region",
    better="lower",
    decimals=4,
    is_compared=True,
)
KEPT_MAE = Metric(
    of=lambda clip: float(clip.abs_error[~clip.target.region].mean()),
    label="Mean absolute error, kept region",
    better="lower",
    decimals=4,
    meaning="all other pixels; should not grow",
    in_ablation=False,
)
TO_RENDER = Metric(
    of=lambda clip: psnr_db(clip.video, clip.render, clip.target.lowest_eig),
    needs=("render",),
    label="PSNR to the render, lowest EIG decile",
    unit="dB",
    better="higher",
    decimals=2,
    meaning="faithfulness to the last render where the scene is known best",
)


def eig_deciles(eig_nats: Float[Tensor, "t h w"]) -> tuple[Int[Tensor, " _"], ...]:
    """Returns ten groups of the pixels of a clip, equally many, lowest EIG first: places in the flattened clip."""
    return eig_nats.flatten().argsort(stable=True).tensor_split(NUM_DECILES)


def psnr_by_decile(sq_error: Float[Tensor, "t h w"], deciles: Sequence[Int[Tensor, " _"]]) -> list[float]:
    """Returns the PSNR in dB over the pixels of each group of `eig_deciles`."""
    flat = sq_error.flatten()
    return [psnr_of(flat[group]) for group in deciles]
