"""View-level information gain of every Gaussian: where to look next."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.eig.dense_blocks import dense_precision, guarded_cholesky
from faithfusion.eig.observe import TrainingView, view_information
from faithfusion.eig.posterior import Posterior, prior_precision
from faithfusion.types import GaussianScene


def view_gain(
    scene: GaussianScene, posterior: Posterior, view: TrainingView, *, chunk_size: int = 65536
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """1/2 log det(I + H_view H^-1) and its upper bound 1/2 tr(H_view H^-1) of every Gaussian, in nats, float64.

    Every pixel counts as an observation of its own, as in the pixel-wise gain: summed over Gaussians the trace equals
    that gain's trace form summed over the view's pixels (sky and discrepancy aside; for a view without image).
    """
    information = view_information(scene, view, posterior.config).precision
    prior = prior_precision(scene.gaussians, posterior.config).double()
    logdet = torch.zeros(len(information), dtype=torch.float64, device=information.device)
    trace = torch.zeros_like(logdet)
    seen = torch.nonzero(information.abs().sum(1)).flatten()
    for ids in seen.split(chunk_size):
        factor = guarded_cholesky(dense_precision(posterior.precision[ids].double()), prior[ids])
        half = torch.linalg.solve_triangular(factor, dense_precision(information[ids]).double(), upper=False)
        ratio = torch.linalg.solve_triangular(factor, half.mT, upper=False)
        trace[ids] = 0.5 * ratio.diagonal(dim1=1, dim2=2).sum(1).clamp_min(0.0)
        logdet[ids] = 0.5 * torch.linalg.eigvalsh(ratio).clamp_min(0.0).log1p().sum(1)
    return logdet, trace
