from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from faithfusion.eig.calibrate import (
    Calibration,
    bin_centres,
    calibration_bins,
    calibration_from_plain,
    default_calibration,
    fit_calibration,
    parametric_calibration,
)
from faithfusion.eig.posterior import EigConfig
from faithfusion.utils.errors import InputError

CONFIG = EigConfig()


def law(eig_nats: torch.Tensor) -> torch.Tensor:
    """A true relation between EIG and squared error, unlike the default."""
    return 0.002 + 0.05 * eig_nats / (1.0 + eig_nats)


def sample(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    eig = torch.exp(torch.empty(count).uniform_(-5.0, 1.5))
    return eig, law(eig) * torch.distributions.Gamma(0.5, 0.5).sample((count,))


def test_the_fit_recovers_the_law_where_there_are_pixels() -> None:
    calibration = fit_calibration(calibration_bins(*sample(400_000)), CONFIG)
    eig = torch.logspace(-1.9, 0.5, 30)
    assert (calibration.expected_sq_error(eig) / law(eig) - 1.0).abs().max() < 0.15
    assert (np.diff(calibration.sq_errors) >= 0).all()


def test_without_pixels_the_default_decides() -> None:
    default = default_calibration(CONFIG)
    assert fit_calibration(None, CONFIG) == default
    nothing = calibration_bins(torch.zeros(0), torch.zeros(0))
    np.testing.assert_allclose(fit_calibration(nothing, CONFIG).sq_errors, default.sq_errors, rtol=1e-4)


def test_bins_of_two_views_add_up_to_those_of_both() -> None:
    eig, error = sample(1000)
    both = calibration_bins(eig, error)
    summed = calibration_bins(eig[:300], error[:300]) + calibration_bins(eig[300:], error[300:])
    assert both.counts.sum() == 1000
    np.testing.assert_array_equal(both.counts, summed.counts)
    np.testing.assert_allclose(both.sq_error_sums, summed.sq_error_sums)
    assert (np.abs(np.log(bin_centres()[both.counts > 0] / 1.0)) < 6).all()


def test_a_pixel_falls_into_the_bin_around_its_value() -> None:
    bins = calibration_bins(torch.tensor([0.0, 0.02, 1e9]), torch.tensor([1.0, 2.0, 3.0]))
    hits = np.flatnonzero(bins.counts)
    assert hits[0] == 0
    assert hits[-1] == len(bins.counts) - 1
    assert abs(np.log(bin_centres()[hits[1]] / 0.02)) <= 0.5 * np.log(10) / 20 + 1e-9


def test_interpolation_is_linear_in_log_eig_and_flat_outside() -> None:
    calibration = Calibration(0.03, (0.01, 0.1, 1.0), (1.0, 2.0, 4.0))
    eig = torch.tensor([0.0, 1e-3, 0.01, 10**-1.5, 0.1, 10**-0.5, 1.0, 50.0])
    expected = torch.tensor([1.0, 1.0, 1.0, 1.5, 2.0, 3.0, 4.0, 4.0])
    torch.testing.assert_close(calibration.expected_sq_error(eig), expected)


def test_the_parametric_curve_inverts_the_gain_of_an_isotropic_variance() -> None:
    calibration = parametric_calibration(CONFIG, variance_factor=1.0)
    variance = torch.tensor([1e-5, 1e-4, 1e-3, 1e-2])
    eig = 1.5 * torch.log1p(variance / CONFIG.noise_std**2)
    torch.testing.assert_close(calibration.expected_sq_error(eig), variance + CONFIG.noise_std**2, rtol=1e-2, atol=0.0)


def test_the_default_scales_with_the_noise_and_stays_below_the_prior() -> None:
    noisy = dataclasses.replace(CONFIG, noise_std=2 * CONFIG.noise_std)
    one, two = np.array(default_calibration(CONFIG).sq_errors), np.array(default_calibration(noisy).sq_errors)
    free = two < CONFIG.prior_color**2
    assert free.any()
    np.testing.assert_allclose(two[free], 4 * one[free])
    assert two.max() <= CONFIG.prior_color**2


def test_json_round_trip_and_refusals() -> None:
    calibration = default_calibration(CONFIG)
    assert calibration_from_plain(json.loads(json.dumps(calibration.to_plain()))) == calibration
    with pytest.raises(InputError, match="noise_std"):
        calibration_from_plain({"eig_nats": [1.0]})
    with pytest.raises(InputError, match="rising"):
        calibration_from_plain({"noise_std": 0.1, "eig_nats": [1.0, 2.0], "sq_errors": [2.0, 1.0]})
    with pytest.raises(InputError, match="finite"):
        calibration_bins(torch.tensor([float("nan")]), torch.tensor([1.0]))
