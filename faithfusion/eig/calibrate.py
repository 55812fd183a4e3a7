"""From nats to expected squared error: monotone curves measured where the truth is known, fitted to each scene.

How wrong a render of a given EIG is depends on how far it is from the recorded path: no linear posterior around the
fit knows how the model fails far away. So there is one curve per distance, measured beside procedural streets
(`tools/calibrate_eig.py` writes `default_calibration.json`). A scene of another kind differs from those streets near
the path already, as its own withheld stretches show: its curves are the streets' times the ratio of the scene's error
to the streets' on withheld stretches, EIG by EIG.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import isotonic_regression
from torch import Tensor

from faithfusion.eig.config import EigConfig
from faithfusion.utils.errors import InputError

LOWEST_NATS, HIGHEST_NATS = 1e-4, 1e2
NUM_BINS = 120  # 20 per decade
PRIOR_PIXELS_PER_BIN = 500.0
"""Weight of what is known without measuring; a thousandth of what the withheld frames of a short drive have in all."""
RATIO_WIDTH_BINS = 2.0
"""Over which a scene's ratio to the streets is smoothed."""
LARGEST_RATIO = 16.0
"""Of squared errors; a scene four times as wrong as a street at the same EIG has other faults."""


@dataclass(frozen=True)
class Calibration:
    """The expected squared error per channel at ascending knots of EIG and ascending distances from the recorded path.

    It never falls with either. Between knots it is linear in log EIG, between distances in the distance, and beyond the
    ends it is constant. `noise_std` and `pixels_per_observation` are those that the EIG was computed with; maps that
    were made with others need another calibration.
    """

    noise_std: float
    pixels_per_observation: float
    eig_nats: tuple[float, ...]
    distances_m: tuple[float, ...]
    sq_errors: tuple[tuple[float, ...], ...]  # [distance][knot]

    def expected_sq_error(self, eig_nats: Float[Tensor, "*shape"], distance_m: float) -> Float[Tensor, "*shape"]:
        """Mean squared colour error to expect, per channel, in a view `distance_m` from the recorded path."""
        curve = [np.interp(distance_m, self.distances_m, knot) for knot in zip(*self.sq_errors, strict=True)]
        knots = torch.tensor(self.eig_nats, dtype=torch.float32, device=eig_nats.device).log()
        values = torch.tensor(curve, dtype=torch.float32, device=eig_nats.device)
        position = eig_nats.float().clamp_min(torch.finfo(torch.float32).tiny).log()
        right = torch.searchsorted(knots, position.contiguous()).clamp(1, len(knots) - 1)
        share = ((position - knots[right - 1]) / (knots[right] - knots[right - 1])).clamp(0.0, 1.0)
        return torch.lerp(values[right - 1], values[right], share)

    def to_plain(self) -> dict[str, Any]:
        """JSON data for the metadata of a checkpoint."""
        return {
            "noise_std": self.noise_std,
            "pixels_per_observation": self.pixels_per_observation,
            "eig_nats": list(self.eig_nats),
            "distances_m": list(self.distances_m),
            "sq_errors": [list(curve) for curve in self.sq_errors],
        }


@dataclass(frozen=True)
class CalibrationBins:
    """Sums over pixels in fixed, logarithmic bins of EIG; those of several views are added with `+`."""

    counts: Float[np.ndarray, " b"]
    sq_error_sums: Float[np.ndarray, " b"]

    def __add__(self, other: CalibrationBins) -> CalibrationBins:
        return CalibrationBins(self.counts + other.counts, self.sq_error_sums + other.sq_error_sums)


@dataclass(frozen=True)
class StreetCurves:
    """What was measured on streets: the curves beside the path, and the curve on withheld stretches of it."""

    beside: Calibration
    withheld: tuple[float, ...]  # at the same knots


def calibration_from_plain(plain: dict[str, Any]) -> Calibration:
    """The inverse of `Calibration.to_plain`. Raises InputError if keys are missing or a curve falls anywhere."""
    try:
        noise_std, pixels = (float(plain[name]) for name in ("noise_std", "pixels_per_observation"))
        curves = tuple(tuple(float(value) for value in curve) for curve in plain["sq_errors"])
        calibration = Calibration(noise_std, pixels, tuple(plain["eig_nats"]), tuple(plain["distances_m"]), curves)
        knots, distances, values = np.array(calibration.eig_nats), np.array(calibration.distances_m), np.array(curves)
    except (KeyError, TypeError, ValueError) as error:
        expected = "noise_std, pixels_per_observation, eig_nats, distances_m, sq_errors"
        raise InputError("EIG calibration", f"{type(error).__name__} {error}", expected) from None
    sound = len(knots) >= 2 and len(distances) >= 1 and values.shape == (len(distances), len(knots))
    rising = sound and (np.diff(knots) > 0).all() and (np.diff(distances) > 0).all() and (np.diff(values) >= 0).all()
    if not (rising and (np.diff(values, axis=0) >= 0).all() and knots[0] > 0 and values.min() >= 0):
        found = f"{len(knots)} knots, {len(distances)} distances, values of shape {values.shape}"
        raise InputError("EIG calibration", found, "at least 2 knots and curves that rise with EIG and distance")
    return calibration


def calibration_bins(eig_nats: Float[Tensor, "*n"], sq_error: Float[Tensor, "*n"]) -> CalibrationBins:
    """Counts the pixels of a view: their EIG and their squared error, the mean over channels."""
    eig, error = eig_nats.detach().cpu().double().flatten(), sq_error.detach().cpu().double().flatten()
    if eig.shape != error.shape or not (torch.isfinite(eig).all() and torch.isfinite(error).all()):
        raise InputError("calibration", f"{eig.numel()} EIG and {error.numel()} errors", "equally many finite values")
    scale = NUM_BINS / np.log(HIGHEST_NATS / LOWEST_NATS)
    bins = ((eig.clamp_min(LOWEST_NATS) / LOWEST_NATS).log() * scale).long().clamp_max(NUM_BINS - 1)
    counts = torch.bincount(bins, minlength=NUM_BINS).double()
    return CalibrationBins(counts.numpy(), torch.bincount(bins, weights=error, minlength=NUM_BINS).double().numpy())


def bin_centres() -> Float[np.ndarray, " b"]:
    """EIG at the geometric middle of every bin, nats."""
    return LOWEST_NATS * (HIGHEST_NATS / LOWEST_NATS) ** ((np.arange(NUM_BINS) + 0.5) / NUM_BINS)


def fit_calibration(bins: CalibrationBins | None, config: EigConfig) -> Calibration:
    """The streets' curves, times how much more wrong this scene is on its withheld stretches.

    Without bins the streets' curves stay as they are.
    """
    streets = street_curves(config)
    if bins is None:
        return streets.beside
    reference = np.array(streets.withheld)
    seen = gaussian_filter1d(bins.sq_error_sums, RATIO_WIDTH_BINS, mode="constant") + PRIOR_PIXELS_PER_BIN * reference
    expected = gaussian_filter1d(bins.counts * reference, RATIO_WIDTH_BINS, mode="constant")
    ratio = np.clip(seen / (expected + PRIOR_PIXELS_PER_BIN * reference), 1.0 / LARGEST_RATIO, LARGEST_RATIO)
    curves = [np.array(curve) * ratio for curve in streets.beside.sq_errors]
    return _calibration(config, streets.beside.distances_m, curves, bins.counts + PRIOR_PIXELS_PER_BIN)


def scaled_calibration(calibration: Calibration, now: CalibrationBins, before: CalibrationBins) -> Calibration:
    """The calibration of a scene that has learnt from more than recorded views.

    `now` and `before`: the expected squared errors of the same pixels, as they are now and as `calibration` says, over
    the EIG of the scene as it is now. Their ratio multiplies the curves of all distances, EIG by EIG; where there are
    few pixels, the curves stay.
    """
    knots, centres = np.log(calibration.eig_nats), np.log(bin_centres())
    curves = np.array(calibration.sq_errors)
    prior = PRIOR_PIXELS_PER_BIN * np.interp(centres, knots, curves.mean(0))
    sums = [gaussian_filter1d(bins.sq_error_sums, RATIO_WIDTH_BINS, mode="constant") + prior for bins in (now, before)]
    ratio = np.clip(sums[0] / sums[1], 1.0 / LARGEST_RATIO, LARGEST_RATIO)
    weights = np.interp(knots, centres, now.counts + PRIOR_PIXELS_PER_BIN)
    rising = _rising(list(curves * np.interp(knots, centres, ratio)), weights)
    return dataclasses.replace(calibration, sq_errors=tuple(tuple(curve) for curve in rising.tolist()))


def measure_curves(beside: dict[float, CalibrationBins], withheld: CalibrationBins, config: EigConfig) -> StreetCurves:
    """Isotonic regression of the squared error over EIG at every distance from the path (metres), and on withheld
    stretches. Where nothing was measured, EIG is taken at its word (`uncalibrated_sq_errors`)."""
    prior = PRIOR_PIXELS_PER_BIN * uncalibrated_sq_errors(config)
    means, weights = [], []
    for bins in (*(beside[distance_m] for distance_m in sorted(beside)), withheld):
        weights.append(bins.counts + PRIOR_PIXELS_PER_BIN)
        means.append((bins.sq_error_sums + prior) / weights[-1])
    curves = [isotonic_regression(mean, weights=weight).x for mean, weight in zip(means, weights, strict=True)]
    calibration = _calibration(config, tuple(sorted(beside)), curves[:-1], sum(weights[:-1], np.zeros(NUM_BINS)))
    return StreetCurves(calibration, tuple(curves[-1].tolist()))


def uncalibrated_sq_errors(config: EigConfig) -> Float[np.ndarray, " b"]:
    """What EIG says by itself: if V_p = v I_3, EIG = 3/2 log(1 + v / sigma^2), so the expected squared error is
    v = sigma^2 (exp(2 EIG / 3) - 1), at most the prior variance of a colour."""
    variance = config.noise_std**2 * np.expm1(np.minimum(2.0 * bin_centres() / 3.0, 50.0))
    return np.minimum(variance, max(config.prior_color**2, config.noise_std**2))


def street_curves(config: EigConfig) -> StreetCurves:
    """The shipped curves. For another sensor noise they are read at the EIG that the same variance would have had."""
    plain = json.loads(files("faithfusion.eig").joinpath("default_calibration.json").read_text())
    shipped = calibration_from_plain(plain)
    factor = (config.noise_std / shipped.noise_std) ** 2
    centres = bin_centres()
    nats = 1.5 * np.log1p(factor * np.expm1(np.minimum(2.0 * centres / 3.0, 100.0)))

    def read(curve: Sequence[float]) -> Float[np.ndarray, " b"]:
        return np.interp(np.log(nats), np.log(shipped.eig_nats), curve)

    curves = [read(curve) for curve in shipped.sq_errors]
    beside = _calibration(config, shipped.distances_m, curves, np.ones(NUM_BINS))
    return StreetCurves(beside, tuple(read(plain["withheld_sq_errors"]).tolist()))


def _calibration(
    config: EigConfig,
    distances_m: tuple[float, ...],
    curves: list[Float[np.ndarray, " b"]],
    weights: Float[np.ndarray, " b"],
) -> Calibration:
    """The curves at the bins' centres, made to rise with EIG and with the distance."""
    knots, values = tuple(bin_centres().tolist()), tuple(tuple(curve) for curve in _rising(curves, weights).tolist())
    return Calibration(config.noise_std, config.pixels_per_observation, knots, distances_m, values)


def _rising(curves: list[Float[np.ndarray, " k"]], weights: Float[np.ndarray, " k"]) -> Float[np.ndarray, "d k"]:
    return np.maximum.accumulate([isotonic_regression(curve, weights=weights).x for curve in curves])
