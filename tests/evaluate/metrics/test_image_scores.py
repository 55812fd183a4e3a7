import math

import pytest
import torch

from faithfusion.evaluate.metrics.image_scores import psnr_by_decile, psnr_per_frame, score_region, score_video


def clips() -> tuple[torch.Tensor, torch.Tensor]:
    truth = 0.25 + 0.5 * torch.rand(3, 16, 20, 3)
    return truth + 0.05 * torch.randn(truth.shape), truth


def test_scores_are_means_over_frames() -> None:
    video, truth = clips()
    video[1] = truth[1] + 0.1
    scores = score_video(video, truth)
    by_hand = [-10 * math.log10(float(((a - b) ** 2).mean())) for a, b in zip(video, truth, strict=True)]
    assert psnr_per_frame(video, truth) == pytest.approx(by_hand, abs=1e-3)
    assert by_hand[1] == pytest.approx(20.0, abs=1e-3)
    assert scores["psnr_db"] == pytest.approx(sum(by_hand) / 3, abs=1e-3)
    assert scores["mae"] == pytest.approx(float((video - truth).abs().mean()), rel=1e-5)
    assert score_video(truth, truth)["ssim"] == pytest.approx(1.0, abs=1e-4)
    assert scores["ssim"] < 0.99


def test_region_counts_its_own_pixels_only() -> None:
    video, truth = clips()
    region = torch.zeros(truth.shape[:3], dtype=torch.bool)
    region[1, 4:9, 3:8] = True
    inside = score_region(video, truth, region)
    error = (video - truth)[region]
    assert inside["psnr_db"] == pytest.approx(-10 * math.log10(float(error.square().mean())), abs=1e-3)
    assert inside["mae"] == pytest.approx(float(error.abs().mean()), rel=1e-5)
    far = torch.ones_like(region)
    far[1, :, :14] = False  # beyond the window of SSIM from the region
    damaged = torch.where(far[..., None], 1.0 - video, truth)
    assert score_region(damaged, truth, region)["ssim"] == pytest.approx(1.0, abs=1e-4)
    video[~region] = 1.0 - video[~region]
    assert score_region(video, truth, region)["mae"] == pytest.approx(inside["mae"])
    assert all(math.isnan(value) for value in score_region(video, truth, torch.zeros_like(region)).values())


def test_deciles_follow_eig_and_share_pixels_equally() -> None:
    _, truth = clips()
    level = torch.linspace(0, 1, truth[..., 0].numel()).reshape(truth.shape[:3])
    shuffle = torch.randperm(level.numel())
    level = level.flatten()[shuffle].reshape(level.shape)
    offset = 0.01 * (1 + (level * 10).floor().clamp(max=9))  # 0.01 in the best known decile, 0.1 in the last
    scores = psnr_by_decile(truth + offset[..., None], truth, 5.0 * level)
    expected = [-20 * math.log10(0.01 * (1 + group)) for group in range(10)]
    assert scores.psnr_db == pytest.approx(expected, abs=1e-2)
    assert scores.mean_eig_nats == pytest.approx([5.0 * (group + 0.5) / 10 for group in range(10)], abs=1e-2)
