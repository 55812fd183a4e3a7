"""Block Laplace posterior of a Gaussian scene: H_k = P_k + (what the training views tell) / pixels_per_observation.

Beside it, the model's discrepancy: no parameters explain all that a view shows (a Gaussian is a blob, a sky texel a
single colour), and what they leave over differs from view to view. In a new view it is unknown again, however often the
scene was seen, so it belongs to the predictive variance of a pixel, beside the parameters' own: a model discrepancy in
the sense of Kennedy and O'Hagan, "Bayesian calibration of computer models" (2001), independent from view to view.
Gaussian k and sky texel have their mean squared residual, weighted by how much they drew of the pixel.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.eig.config import EigConfig
from faithfusion.eig.dense_blocks import dense_precision, diagonal_of_triangle
from faithfusion.eig.jacobian import Y_0
from faithfusion.eig.observe import Evidence, TrainingView, gather_evidence, no_evidence
from faithfusion.types import Gaussians, GaussianScene

PRIOR_POSITION_SCALES = 2.0
"""Prior standard deviation of a Gaussian's position, in units of its own RMS standard deviation."""
PRIOR_LOG_SCALE = 0.5
PRIOR_ROTATION_RAD = 0.5
"""Prior standard deviation of a rotation about each of the Gaussian's axes."""
PRIOR_OPACITY_LOGIT = 2.0
PRIOR_HARMONICS = 0.1
"""Prior standard deviation of every higher colour coefficient times Y_0, in the units of `EigConfig.prior_color`."""
SHRINKAGE_PX = 1.0
"""Pixels that count for the scene's mean misfit beside a Gaussian's or texel's own."""


@dataclass(frozen=True)
class Posterior:
    """Precisions, prior included, and discrepancies, under the `config` that every use of them shares. `precision`:
    upper triangle of H_k, row-major, or its diagonal for "diag", w = D (D + 1) / 2 or D numbers; parameters are in the
    order of `eig.jacobian`. `viewpoints`: where the cameras stood whose views went in."""

    config: EigConfig
    precision: Float[Tensor, "n w"]
    sky_precision: Float[Tensor, "hs ws"]  # 1 / colour variance of a texel
    discrepancy: Float[Tensor, " n"]  # variance per colour channel
    sky_discrepancy: Float[Tensor, "hs ws"]
    viewpoints: Float[Tensor, "v 3"]


def fit_posterior(scene: GaussianScene, views: Sequence[TrainingView], config: EigConfig) -> Posterior:
    """The posterior after all `views`. It is deterministic on a CPU.

    Raises InputError if a mask or an image does not have its camera's size.
    """
    return conclude(scene, gather_evidence(scene, views, config))


def conclude(scene: GaussianScene, evidence: Evidence) -> Posterior:
    """Prior and evidence together; the evidence stays as it is."""
    config = evidence.config
    prior = prior_precision(scene.gaussians, config)
    share = 1.0 / config.pixels_per_observation
    precision = evidence.precision * share
    if config.posterior == "diag":
        precision += prior
    else:
        precision[:, diagonal_of_triangle(prior.shape[1])] += prior
    sky = config.prior_color**-2 + share * evidence.sky_precision
    discrepancy = _shrunk_mean(evidence.misfit, evidence.seen)
    sky_discrepancy = _shrunk_mean(evidence.sky_misfit, evidence.sky_seen)
    return Posterior(config, precision, sky, discrepancy, sky_discrepancy, evidence.viewpoints)


def prior_posterior(scene: GaussianScene, config: EigConfig) -> Posterior:
    """What is known before any image."""
    return conclude(scene, no_evidence(scene, config))


def diagonal_posterior(posterior: Posterior) -> Posterior:
    """The same knowledge with the diagonal of every block alone."""
    diagonal = dense_precision(posterior.precision).diagonal(dim1=1, dim2=2).contiguous()
    config = dataclasses.replace(posterior.config, posterior="diag")
    return dataclasses.replace(posterior, config=config, precision=diagonal)


def _shrunk_mean(total: Float[Tensor, "*n"], weight: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """total / weight, drawn to the mean of all where there is little weight, and 0 where there is none at all."""
    everywhere = total.sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
    return (total + SHRINKAGE_PX * everywhere) / (weight + SHRINKAGE_PX)


def prior_precision(gaussians: Gaussians, config: EigConfig) -> Float[Tensor, "n d"]:
    """The diagonal of P_k, in the inverse squares of metres, log-scale, radians, logits and colour coefficients."""
    mean_square_scale = torch.exp(2.0 * gaussians.log_scales.detach()).mean(1, keepdim=True)
    position = (1.0 / (PRIOR_POSITION_SCALES**2 * mean_square_scale)).expand(-1, 3)
    stds = [PRIOR_LOG_SCALE] * 3 + [PRIOR_ROTATION_RAD] * 3 + [PRIOR_OPACITY_LOGIT]
    stds += [config.prior_color / Y_0] * 3
    stds += [PRIOR_HARMONICS / Y_0] * (3 * (gaussians.colors.shape[1] - 1))
    rest = torch.tensor(stds, device=position.device).pow(-2).expand(gaussians.num, -1)
    return torch.cat([position, rest], dim=1).contiguous()
