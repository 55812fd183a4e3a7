"""From nats to expected squared error: a monotone map fitted on views kept back, so that one scale fits every scene."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import isotonic_regression
from torch import Tensor

from faithfusion.eig.posterior import EigConfig
from faithfusion.utils.errors import InputError

LOWEST_NATS, HIGHEST_NATS = 1e-4, 1e2
NUM_BINS = 120  # 20 per decade
PRIOR_PIXELS_PER_BIN = 50.0


@dataclass(frozen=True)
class Calibration:
    """Expected squared error per channel at ascending EIG knots, never falling; in between linear in log EIG.

    `noise_std` is the sigma the EIG was computed with: maps made with another one need another calibration.
    """

    noise_std: float
    eig_nats: tuple[float, ...]
    sq_errors: tuple[float, ...]

    def expected_sq_error(self, eig_nats: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Mean squared colour error to expect, per channel; constant beyond the first and last knot."""
        knots = torch.tensor(self.eig_nats, dtype=torch.float32, device=eig_nats.device).log()
        values = torch.tensor(self.sq_errors, dtype=torch.float32, device=eig_nats.device)
        position = eig_nats.float().clamp_min(torch.finfo(torch.float32).tiny).log()
        right = torch.searchsorted(knots, position.contiguous()).clamp(1, len(knots) - 1)
        share = ((position - knots[right - 1]) / (knots[right] - knots[right - 1])).clamp(0.0, 1.0)
        return torch.lerp(values[right - 1], values[right], share)

    def to_plain(self) -> dict[str, Any]:
        """JSON data for the metadata of a checkpoint."""
        return {"noise_std": self.noise_std, "eig_nats": list(self.eig_nats), "sq_errors": list(self.sq_errors)}


@dataclass(frozen=True)
class CalibrationBins:
    """Sums over pixels in fixed, logarithmic bins of EIG; add those of several views with `+`."""

    counts: Float[np.ndarray, " b"]
    sq_error_sums: Float[np.ndarray, " b"]

    def __add__(self, other: CalibrationBins) -> CalibrationBins:
        return CalibrationBins(self.counts + other.counts, self.sq_error_sums + other.sq_error_sums)


def calibration_from_plain(plain: dict[str, Any]) -> Calibration:
    """Inverse of `Calibration.to_plain`. InputError if keys are missing or the curve is no curve."""
    try:
        calibration = Calibration(float(plain["noise_std"]), tuple(plain["eig_nats"]), tuple(plain["sq_errors"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            "EIG calibration", f"{type(error).__name__} {error}", "noise_std, eig_nats, sq_errors"
        ) from None
    knots, values = np.array(calibration.eig_nats), np.array(calibration.sq_errors)
    sound = len(knots) == len(values) >= 2 and (knots > 0).all() and (values >= 0).all()
    if not (sound and (np.diff(knots) > 0).all() and (np.diff(values) >= 0).all()):
        raise InputError("EIG calibration", f"{len(knots)} knots, {len(values)} values", "a rising curve of >= 2 knots")
    return calibration


def calibration_bins(eig_nats: Float[Tensor, "*n"], sq_error: Float[Tensor, "*n"]) -> CalibrationBins:
    """Counts the pixels of a view: their EIG and their squared error, the mean over channels."""
    eig, error = eig_nats.detach().cpu().double().flatten(), sq_error.detach().cpu().double().flatten()
    if eig.shape != error.shape or not (torch.isfinite(eig).all() and torch.isfinite(error).all()):
        raise InputError("calibration", f"{eig.numel()} EIG and {error.numel()} errors", "equally many finite values")
    scale = NUM_BINS / np.log(HIGHEST_NATS / LOWEST_NATS)
    bins = ((eig.clamp_min(LOWEST_NATS) / LOWEST_NATS).log() * scale).long().clamp_max(NUM_BINS - 1)
    counts = torch.bincount(bins, minlength=NUM_BINS).double()
    return CalibrationBins(counts.numpy(), torch.bincount(bins, weights=error, minlength=NUM_BINS).numpy())


def bin_centres() -> Float[np.ndarray, " b"]:
    """EIG at the geometric middle of every bin, nats."""
    return LOWEST_NATS * (HIGHEST_NATS / LOWEST_NATS) ** ((np.arange(NUM_BINS) + 0.5) / NUM_BINS)


def fit_calibration(
    bins: CalibrationBins | None, config: EigConfig, *, prior_pixels_per_bin: float = PRIOR_PIXELS_PER_BIN
) -> Calibration:
    """Isotonic regression of the squared error over the bins of held-out views.

    The default curve takes part as `prior_pixels_per_bin` pixels in every bin: it decides where the scene was never
    tested (no held-out pixel is as uncertain as an unseen side) and is outvoted where it was. No bins: the default.
    """
    default = default_calibration(config)
    if bins is None:
        return default
    centres = bin_centres()
    prior = default.expected_sq_error(torch.from_numpy(centres)).double().numpy()
    weights = bins.counts + prior_pixels_per_bin
    means = (bins.sq_error_sums + prior_pixels_per_bin * prior) / weights
    fitted = isotonic_regression(means, weights=weights).x
    return Calibration(config.noise_std, tuple(centres.tolist()), tuple(fitted.tolist()))


def default_calibration(config: EigConfig) -> Calibration:
    """The shipped curve, carried over to this sigma: errors scale with sigma^2 up to the prior variance of a colour."""
    text = files("faithfusion.eig").joinpath("default_calibration.json").read_text()
    shipped = calibration_from_plain(json.loads(text))
    errors = np.array(shipped.sq_errors) * (config.noise_std / shipped.noise_std) ** 2
    cap = max(config.prior_color**2, config.noise_std**2)
    return Calibration(config.noise_std, shipped.eig_nats, tuple(np.minimum(errors, cap).tolist()))


def parametric_calibration(config: EigConfig, *, variance_factor: float = 16.0) -> Calibration:
    """The curve to start from before any has been measured.

    If V_p = v I_3, EIG = 3/2 log(1 + v / sigma^2), so v = sigma^2 (exp(2 EIG / 3) - 1). The expected squared error is
    sigma^2 + variance_factor v, at most the prior variance of a colour. Uncalibrated standard deviations of a block
    Laplace posterior were about 4 times too small on held-out street views: hence the factor of 16.
    """
    centres = bin_centres()
    noise = config.noise_std**2
    variance = noise * np.expm1(np.minimum(2.0 * centres / 3.0, 50.0))
    errors = np.minimum(noise + variance_factor * variance, max(config.prior_color**2, noise))
    return Calibration(config.noise_std, tuple(centres.tolist()), tuple(errors.tolist()))
