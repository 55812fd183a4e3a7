"""Picture quality against truth: whole frames, inside and outside the regenerated region, by EIG decile."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.evaluate.metrics.metric import Metric
from faithfusion.evaluate.metrics.scored_clip import ScoredClip
from faithfusion.utils.image_math import mean_abs_error, psnr_db

NUM_DECILES = 10


def psnr_per_frame(video: Float[Tensor, "t h w 3"], truth: Float[Tensor, "t h w 3"]) -> list[float]:
    """Returns the PSNR of each frame in dB."""
    return [psnr_db(image, true) for image, true in zip(video, truth, strict=True)]


def mean_psnr_db(clip: ScoredClip) -> float:
    """Returns the mean over frames of the PSNR to the truth."""
    frames = psnr_per_frame(clip.video, clip.truth)
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
    of=lambda clip: mean_abs_error(clip.video, clip.truth),
    label="Mean absolute error",
    better="lower",
    decimals=4,
    meaning="colours from 0 to 1",
    in_ablation=False,
)
REGENERATED_PSNR = Metric(
    of=lambda clip: psnr_db(clip.video, clip.truth, clip.target.region),
    label="PSNR, regenerated region",
    unit="dB",
    better="higher",
    decimals=2,
    meaning="pixels whose expected error is above the threshold",
)
REGENERATED_SSIM = Metric(of=regenerated_ssim, label="SSIM, regenerated region", better="higher", in_ablation=False)
REGENERATED_MAE = Metric(
    of=lambda clip: mean_abs_error(clip.video, clip.truth, clip.target.region),
    label="Mean absolute error, regenerated region",
    better="lower",
    decimals=4,
    is_compared=True,
)
KEPT_MAE = Metric(
    of=lambda clip: mean_abs_error(clip.video, clip.truth, ~clip.target.region),
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


@dataclass(frozen=True)
class DecileScores:
    """PSNR of ten groups with equally many pixels, lowest EIG first."""

    mean_eig_nats: tuple[float, ...]
    psnr_db: tuple[float, ...]


def psnr_by_decile(
    video: Float[Tensor, "t h w 3"], truth: Float[Tensor, "t h w 3"], eig_nats: Float[Tensor, "t h w"]
) -> DecileScores:
    """Returns the PSNR over the pixels of each EIG decile of the whole clip."""
    order = eig_nats.flatten().argsort(stable=True)
    groups = order.tensor_split(NUM_DECILES)
    flat_video, flat_truth, flat_eig = video.reshape(-1, 3), truth.reshape(-1, 3), eig_nats.flatten()
    return DecileScores(
        mean_eig_nats=tuple(float(flat_eig[group].double().mean()) for group in groups),
        psnr_db=tuple(psnr_db(flat_video[group], flat_truth[group]) for group in groups),
    )
