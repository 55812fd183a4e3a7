from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from faithfusion.eig.calibrate import (
    Calibration,
    CalibrationBins,
    bin_centres,
    calibration_bins,
    calibration_from_plain,
    fit_calibration,
    measure_curves,
    scaled_calibration,
    street_curves,
    uncalibrated_sq_errors,
)
from faithfusion.eig.config import EigConfig
from faithfusion.utils.errors import InputError

CONFIG = EigConfig()


def law(eig_nats: torch.Tensor, distance_m: float) -> torch.Tensor:
    """A true relation between EIG, distance and squared error, unlike what EIG says by itself."""
    return (1.0 + 0.5 * distance_m) * (0.002 + 0.05 * eig_nats / (1.0 + eig_nats))


def sample(count: int, distance_m: float = 0.0, factor: float = 1.0) -> CalibrationBins:
    eig = torch.exp(torch.empty(count).uniform_(-3.0, 1.5))
    noise = torch.distributions.Gamma(0.5, 0.5).sample((count,))
    return calibration_bins(eig, factor * law(eig, distance_m) * noise)


def test_measured_curves_recover_the_law_at_every_distance() -> None:
    beside = {distance_m: sample(400_000, distance_m) for distance_m in (3.0, 0.0)}
    curves = measure_curves(beside, sample(400_000), CONFIG)
    eig = torch.logspace(-0.9, 0.5, 20)
    assert curves.beside.distances_m == (0.0, 3.0)
    for distance_m in (0.0, 1.5, 3.0, 50.0):
        found = curves.beside.expected_sq_error(eig, distance_m)
        assert (found / law(eig, min(distance_m, 3.0)) - 1.0).abs().max() < 0.15
    assert np.interp(1.0, bin_centres(), curves.withheld) == pytest.approx(0.027, rel=0.1)
    assert (np.diff(curves.beside.sq_errors, axis=0) >= 0).all()


def test_a_scene_twice_as_wrong_on_withheld_stretches_is_twice_as_wrong_beside_them() -> None:
    streets = street_curves(CONFIG)
    counts = np.full(len(streets.withheld), 50_000.0)
    same = CalibrationBins(counts, counts * np.array(streets.withheld))
    twice = CalibrationBins(counts, 2.0 * counts * np.array(streets.withheld))
    kept, doubled = (fit_calibration(bins, CONFIG) for bins in (same, twice))
    np.testing.assert_allclose(kept.sq_errors, streets.beside.sq_errors, rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(doubled.sq_errors, 2.0 * np.array(kept.sq_errors), rtol=0.05, atol=1e-9)


def test_what_was_learnt_beside_the_path_scales_the_curves_where_there_are_pixels() -> None:
    calibration = fit_calibration(None, CONFIG)
    eig = torch.exp(torch.empty(2_000_000).uniform_(-3.0, 1.5))
    before = calibration.expected_sq_error(eig, 3.0)
    halved = scaled_calibration(calibration, calibration_bins(eig, 0.5 * before), calibration_bins(eig, before))
    inner = torch.tensor([0.1, 0.3, 1.0, 3.0])
    for distance_m in (1.5, 3.0, 6.0):
        ratio = halved.expected_sq_error(inner, distance_m) / calibration.expected_sq_error(inner, distance_m)
        torch.testing.assert_close(ratio, torch.full_like(ratio, 0.5), atol=0.02, rtol=0.0)
    assert calibration_from_plain(halved.to_plain()) == halved  # rises with EIG and distance
    few = torch.tensor([1e-3, 50.0])
    torch.testing.assert_close(halved.expected_sq_error(few, 3.0), calibration.expected_sq_error(few, 3.0))
    same = scaled_calibration(calibration, calibration_bins(eig, before), calibration_bins(eig, before))
    np.testing.assert_allclose(same.sq_errors, calibration.sq_errors, rtol=1e-6)


def test_without_withheld_pixels_the_streets_curves_stay() -> None:
    streets = street_curves(CONFIG).beside
    assert fit_calibration(None, CONFIG) == streets
    nothing = calibration_bins(torch.zeros(0), torch.zeros(0))
    np.testing.assert_allclose(fit_calibration(nothing, CONFIG).sq_errors, streets.sq_errors)


def test_the_shipped_curves_were_measured_with_the_default_noise() -> None:
    shipped = street_curves(CONFIG).beside
    assert shipped.pixels_per_observation == CONFIG.pixels_per_observation
    assert shipped.distances_m == (0.0, 1.5, 3.0, 6.0)
    rms = shipped.expected_sq_error(torch.tensor([2.5]), 3.0).sqrt()
    assert 0.03 < float(rms) < 0.1


def test_bins_of_two_views_add_up_to_those_of_both() -> None:
    eig, error = torch.rand(1000), torch.rand(1000)
    both = calibration_bins(eig, error)
    summed = calibration_bins(eig[:300], error[:300]) + calibration_bins(eig[300:], error[300:])
    assert both.counts.sum() == 1000
    np.testing.assert_array_equal(both.counts, summed.counts)
    np.testing.assert_allclose(both.sq_error_sums, summed.sq_error_sums)


def test_a_pixel_falls_into_the_bin_around_its_value() -> None:
    bins = calibration_bins(torch.tensor([0.0, 0.02, 1e9]), torch.tensor([1.0, 2.0, 3.0]))
    hits = np.flatnonzero(bins.counts)
    assert hits[0] == 0
    assert hits[-1] == len(bins.counts) - 1
    assert abs(np.log(bin_centres()[hits[1]] / 0.02)) <= 0.5 * np.log(10) / 20 + 1e-9


def test_interpolation_is_linear_in_log_eig_and_distance_and_flat_outside() -> None:
    calibration = Calibration(0.02, 16.0, (0.01, 0.1, 1.0), (0.0, 2.0), ((1.0, 2.0, 4.0), (2.0, 4.0, 8.0)))
    eig = torch.tensor([0.0, 1e-3, 0.01, 10**-1.5, 0.1, 10**-0.5, 1.0, 50.0])
    expected = torch.tensor([1.0, 1.0, 1.0, 1.5, 2.0, 3.0, 4.0, 4.0])
    for distance_m, factor in ((0.0, 1.0), (0.5, 1.25), (2.0, 2.0), (9.0, 2.0)):
        torch.testing.assert_close(calibration.expected_sq_error(eig, distance_m), factor * expected)


def test_by_itself_eig_means_the_variance_it_was_computed_from() -> None:
    variance = torch.tensor([1e-5, 1e-4, 1e-3, 1e-2], dtype=torch.float64)
    eig = 1.5 * torch.log1p(variance / CONFIG.noise_std**2)
    found = np.interp(np.log(eig), np.log(bin_centres()), uncalibrated_sq_errors(CONFIG))
    np.testing.assert_allclose(found, variance, rtol=5e-2)
    assert uncalibrated_sq_errors(CONFIG).max() == CONFIG.prior_color**2


def test_another_sensor_noise_reads_the_curves_at_the_same_variance() -> None:
    other = dataclasses.replace(CONFIG, noise_std=2 * CONFIG.noise_std)
    variance = torch.tensor([2e-3, 1e-2])
    errors = [
        street_curves(config).beside.expected_sq_error(1.5 * torch.log1p(variance / config.noise_std**2), 3.0)
        for config in (CONFIG, other)
    ]
    torch.testing.assert_close(errors[0], errors[1], rtol=5e-2, atol=0.0)


def test_json_round_trip_and_refusals() -> None:
    calibration = fit_calibration(None, CONFIG)
    plain = calibration.to_plain()
    assert calibration_from_plain(json.loads(json.dumps(plain))) == calibration
    with pytest.raises(InputError, match="noise_std"):
        calibration_from_plain({"eig_nats": [1.0]})
    short = plain | {"eig_nats": [1.0, 2.0], "distances_m": [0.0]}
    with pytest.raises(InputError, match="rise"):
        calibration_from_plain(short | {"sq_errors": [[2.0, 1.0]]})
    with pytest.raises(InputError, match="rise"):
        calibration_from_plain(short | {"sq_errors": [[1.0, 2.0], [1.0, 2.0]]})
    with pytest.raises(InputError, match="rise"):
        falling = [[1.0, 2.0], [0.5, 2.0]]
        calibration_from_plain(short | {"distances_m": [0.0, 1.0], "sq_errors": falling})
    with pytest.raises(InputError, match="finite"):
        calibration_bins(torch.tensor([float("nan")]), torch.tensor([1.0]))
