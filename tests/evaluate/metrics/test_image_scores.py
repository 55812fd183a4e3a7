import math

import pytest
import torch

from faithfusion.evaluate.metrics.image_scores import eig_deciles, psnr_by_decile, psnr_per_frame
from faithfusion.evaluate.metrics.registry import clip_scores
from faithfusion.evaluate.metrics.scored_clip import Target
from faithfusion.types import Camera
from faithfusion.utils.errors import InputError


def clips() -> tuple[torch.Tensor, torch.Tensor]:
    truth = 0.25 + 0.5 * torch.rand(3, 16, 20, 3)
    return truth + 0.05 * torch.randn(truth.shape), truth


def scores_of(video: torch.Tensor, truth: torch.Tensor, region: torch.Tensor | None = None) -> dict[str, float]:
    zero = torch.zeros(truth.shape[:3])
    cameras = [Camera(torch.eye(3), torch.eye(4), 20, 16)] * len(truth)
    return clip_scores(video, Target(cameras, zero, zero, (zero > 0) if region is None else region, truth=truth))


def test_scores_are_means_over_frames() -> None:
    video, truth = clips()
    video[1] = truth[1] + 0.1
    scores = scores_of(video, truth)
    by_hand = [-10 * math.log10(float(((a - b) ** 2).mean())) for a, b in zip(video, truth, strict=True)]
    assert psnr_per_frame((video - truth).square().mean(-1)) == pytest.approx(by_hand, abs=1e-3)
    assert by_hand[1] == pytest.approx(20.0, abs=1e-3)
    assert scores["psnr_db"] == pytest.approx(sum(by_hand) / 3, abs=1e-3)
    assert scores["mae"] == pytest.approx(float((video - truth).abs().mean()), rel=1e-5)
    assert scores_of(truth, truth)["ssim"] == pytest.approx(1.0, abs=1e-4)
    assert scores["ssim"] < 0.99


def test_region_counts_its_own_pixels_only() -> None:
    video, truth = clips()
    region = torch.zeros(truth.shape[:3], dtype=torch.bool)
    region[1, 4:9, 3:8] = True
    inside = scores_of(video, truth, region)
    error = (video - truth)[region]
    assert inside["regenerated_psnr_db"] == pytest.approx(-10 * math.log10(float(error.square().mean())), abs=1e-3)
    assert inside["regenerated_mae"] == pytest.approx(float(error.abs().mean()), rel=1e-5)
    far = torch.ones_like(region)
    far[1, :, :14] = False  # beyond the window of SSIM from the region
    damaged = torch.where(far[..., None], 1.0 - video, truth)
    assert scores_of(damaged, truth, region)["regenerated_ssim"] == pytest.approx(1.0, abs=1e-4)
    video[~region] = 1.0 - video[~region]
    outside = scores_of(video, truth, region)
    assert outside["regenerated_mae"] == pytest.approx(inside["regenerated_mae"])
    assert outside["kept_mae"] == pytest.approx(float((video - truth)[~region].abs().mean()), rel=1e-5)
    empty = scores_of(video, truth, torch.zeros_like(region))
    assert all(math.isnan(empty[f"regenerated_{name}"]) for name in ("psnr_db", "ssim", "mae"))


def test_what_lacks_its_target_is_left_out_and_another_shape_refused() -> None:
    video, truth = clips()
    assert not {"mobilenet_distance", "psnr_to_render_lowest_eig_decile_db"} & set(scores_of(video, truth))
    with pytest.raises(InputError, match=r"\(2, 16, 20, 3\)"):
        scores_of(video[:2], truth)


def test_deciles_follow_eig_and_share_pixels_equally() -> None:
    _, truth = clips()
    level = torch.linspace(0, 1, truth[..., 0].numel()).reshape(truth.shape[:3])
    shuffle = torch.randperm(level.numel())
    level = level.flatten()[shuffle].reshape(level.shape)
    offset = 0.01 * (1 + (level * 10).floor().clamp(max=9))  # 0.01 in the best known decile, 0.1 in the last
    deciles = eig_deciles(5.0 * level)
    expected = [-20 * math.log10(0.01 * (1 + group)) for group in range(10)]
    assert psnr_by_decile(offset.square(), deciles) == pytest.approx(expected, abs=1e-2)
    means = [float(level.flatten()[group].mean()) for group in deciles]
    assert means == pytest.approx([(group + 0.5) / 10 for group in range(10)], abs=1e-2)
