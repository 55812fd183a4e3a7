"""Picture quality against truth: whole frames, inside and outside the regenerated region, by EIG decile."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.utils.image_math import mean_abs_error, psnr_db, ssim_map

NUM_DECILES = 10


def score_video(video: Float[Tensor, "t h w 3"], truth: Float[Tensor, "t h w 3"]) -> dict[str, float]:
    """`psnr_db` and `ssim` as means over frames, `mae` over all pixels."""
    frames = list(zip(video, truth, strict=True))
    return {
        "psnr_db": sum(psnr_db(image, true) for image, true in frames) / len(frames),
        "ssim": sum(float(ssim_map(image, true).mean()) for image, true in frames) / len(frames),
        "mae": mean_abs_error(video, truth),
    }


def psnr_per_frame(video: Float[Tensor, "t h w 3"], truth: Float[Tensor, "t h w 3"]) -> list[float]:
    """PSNR of each frame, dB."""
    return [psnr_db(image, true) for image, true in zip(video, truth, strict=True)]


def score_region(
    video: Float[Tensor, "t h w 3"], truth: Float[Tensor, "t h w 3"], region: Bool[Tensor, "t h w"]
) -> dict[str, float]:
    """`psnr_db`, `ssim` and `mae` over the pixels of `region` of all frames together; NaN where it is empty."""
    if not region.any():
        return dict.fromkeys(("psnr_db", "ssim", "mae"), float("nan"))
    similarity = torch.cat([ssim_map(*pair)[mask] for *pair, mask in zip(video, truth, region, strict=True)])
    return {
        "psnr_db": psnr_db(video, truth, region),
        "ssim": float(similarity.mean()),
        "mae": mean_abs_error(video, truth, region),
    }


@dataclass(frozen=True)
class DecileScores:
    """PSNR of ten groups with equally many pixels, lowest EIG first."""

    mean_eig_nats: tuple[float, ...]
    psnr_db: tuple[float, ...]


def psnr_by_decile(
    video: Float[Tensor, "t h w 3"], truth: Float[Tensor, "t h w 3"], eig_nats: Float[Tensor, "t h w"]
) -> DecileScores:
    """PSNR over the pixels of each EIG decile of the whole clip."""
    order = eig_nats.flatten().argsort(stable=True)
    groups = order.tensor_split(NUM_DECILES)
    flat_video, flat_truth, flat_eig = video.reshape(-1, 3), truth.reshape(-1, 3), eig_nats.flatten()
    return DecileScores(
        mean_eig_nats=tuple(float(flat_eig[group].double().mean()) for group in groups),
        psnr_db=tuple(psnr_db(flat_video[group], flat_truth[group]) for group in groups),
    )
