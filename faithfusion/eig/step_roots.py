"""Roots of what the posterior says of the parameters that every Gaussian has, for whoever moves it in that metric."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.eig.dense_blocks import dense_precision, guarded_cholesky
from faithfusion.eig.field import EigField
from faithfusion.eig.jacobian import num_scene
from faithfusion.eig.posterior import prior_precision

DIFFUSE = num_scene(1)


def step_roots(known: EigField) -> Float[Tensor, "n 91"]:
    """L_k, lower triangles row by row, with L_k^T L_k the posterior's covariance of the 13 parameters of a diffuse
    Gaussian (`eig.jacobian` has their order). Those of the field itself, unless its colours depend on the view: then
    the harmonics are marginalised out."""
    if known.roots is not None:
        return known.roots
    posterior, prior = known.posterior, prior_precision(known.scene.gaussians, known.config)
    row, column = torch.tril_indices(DIFFUSE, DIFFUSE, device=prior.device)
    parts = []
    for chunk in torch.arange(len(prior), device=prior.device).split(known.config.chunk_size):
        factor = guarded_cholesky(dense_precision(posterior.precision[chunk].double()), prior[chunk].double())
        covariance = torch.cholesky_inverse(factor)[:, :DIFFUSE, :DIFFUSE]
        root = torch.linalg.cholesky(covariance.flip(1, 2)).flip(1, 2).mT
        parts.append(root[:, row, column].float())
    return torch.cat(parts)


def limited_roots(roots: Float[Tensor, "n 91"], most_m: Float[Tensor, " n"]) -> Float[Tensor, "n 91"]:
    """The roots S L_k, where S shrinks the position so that its standard deviation (root of the trace of its
    covariance) is at most `most_m`, and nothing else."""
    row, column = torch.tril_indices(DIFFUSE, DIFFUSE, device=roots.device)
    is_position = column < 3
    std_m = roots[:, is_position].norm(dim=1)
    factor = (most_m / std_m).clamp_max(1.0)
    return torch.where(is_position, factor[:, None] * roots, roots)
