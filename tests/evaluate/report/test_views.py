import dataclasses
import math

import pytest
import torch

from faithfusion.evaluate.report.run_views import (
    RunViews,
    decile_curves,
    error_reliability,
    shift_metrics,
    uncertainty_metrics,
)
from faithfusion.types import Camera, EigVolume

SHAPE = (3, 24, 40)


def cameras() -> list[Camera]:
    intrinsics = torch.tensor([[40.0, 0.0, 20.0], [0.0, 40.0, 12.0], [0.0, 0.0, 1.0]])
    return [Camera(intrinsics, torch.eye(4), SHAPE[2], SHAPE[1])] * SHAPE[0]


def synthetic_views() -> RunViews:
    """A still street whose render is noisy at the right, where its EIG says so; the edit is perfect there."""
    truth = (0.2 + 0.6 * torch.rand(SHAPE[1:] + (3,))).expand(*SHAPE, 3)
    rms = torch.linspace(0.005, 0.3, SHAPE[2]).expand(SHAPE)
    before = (truth + rms[..., None] * torch.randn(truth.shape)).clamp(0, 1)
    regenerated = (rms > 0.1)[..., None]
    return RunViews(
        before=before,
        render=before.clone(),
        edit=torch.where(regenerated, truth, before),
        after=torch.lerp(before, truth, 0.5 * regenerated),
        eig=EigVolume(1.5 * torch.log(1 + rms**2 / 1e-4), rms**2, torch.ones(SHAPE)),
        depth=torch.full(SHAPE, 10.0),
        truth=truth.clone(),
        regenerate_rms=0.1,
    )


def test_a_perfect_edit_beats_the_render_and_keeps_what_is_known() -> None:
    views = synthetic_views()
    scores = shift_metrics(views, cameras())
    before, edit, after = (scores[name] for name in ("before", "edit", "after"))
    assert edit["psnr_db"] > after["psnr_db"] + 1 > before["psnr_db"] + 2
    assert edit["ssim"] > after["ssim"] > before["ssim"]
    assert edit["regenerated_mae"] < 1e-6 < 0.05 < before["regenerated_mae"]
    assert edit["kept_mae"] == pytest.approx(before["kept_mae"])
    assert edit["flicker"] < after["flicker"] < before["flicker"]
    assert (
        edit["psnr_to_render_lowest_eig_decile_db"]
        == after["psnr_to_render_lowest_eig_decile_db"]
        == pytest.approx(100)
    )


def test_harm_in_the_lowest_decile_is_measured_there_alone() -> None:
    views = synthetic_views()
    threshold = views.eig.eig_nats.flatten().quantile(0.1)
    known = views.eig.eig_nats < threshold
    harmed = dataclasses.replace(
        views,
        edit=torch.where(known[..., None], views.before + 0.1, views.before),
        after=torch.where(known[..., None], views.before, views.before + 0.1),
    )
    scores = shift_metrics(harmed, cameras())
    assert scores["edit"]["psnr_to_render_lowest_eig_decile_db"] == pytest.approx(20.0, abs=0.05)
    assert scores["after"]["psnr_to_render_lowest_eig_decile_db"] == pytest.approx(100.0)


def test_without_truth_only_faithfulness_and_flicker_remain() -> None:
    views = dataclasses.replace(synthetic_views(), truth=None)
    scores = shift_metrics(views, cameras())
    assert set(scores["before"]) == {"flicker"}
    assert set(scores["edit"]) == set(scores["after"]) == {"flicker", "psnr_to_render_lowest_eig_decile_db"}
    assert set(uncertainty_metrics(views)["eig"]) == {"regenerated_share"}


def test_uncertainty_metrics_know_a_good_map_from_an_empty_one() -> None:
    views = synthetic_views()
    scores = uncertainty_metrics(views)
    assert scores["eig"]["spearman"] > 0.6
    assert math.isnan(scores["alpha"]["spearman"])
    assert scores["eig"]["ause"] < 0.5 * scores["alpha"]["ause"]
    assert scores["eig"]["regenerated_share"] == pytest.approx(float(views.region.float().mean()))
    assert scores["eig"]["covered_error_share"] > scores["eig"]["regenerated_share"]


def test_reliability_of_a_calibrated_map_lies_on_the_diagonal() -> None:
    predicted, actual = error_reliability(synthetic_views())
    assert len(predicted) == 10 and predicted == sorted(predicted)
    assert actual[:6] == pytest.approx(predicted[:6], rel=0.15)  # above, clamping to [0, 1] lowers the error


def test_decile_curves_fall_for_the_render_and_end_perfect_for_the_edit() -> None:
    curves = decile_curves(synthetic_views())
    assert set(curves) == {"before", "edit", "after"}
    assert curves["before"] == sorted(curves["before"], reverse=True)
    assert curves["edit"][-1] == pytest.approx(100.0)
    assert curves["edit"][0] == pytest.approx(curves["before"][0])
