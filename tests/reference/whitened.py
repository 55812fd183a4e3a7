"""A slow, obvious twin of `fit.whitened`: Gaussian by Gaussian, differentiated by autograd."""

from __future__ import annotations

import torch
from torch import Tensor

from faithfusion.types import Gaussians


def move_by_loops(start: Gaussians, roots: Tensor, theta: Tensor) -> Gaussians:
    """w* + L^T theta of diffuse Gaussians; the rotation by the exponential of a 4 x 4 matrix."""
    parts: dict[str, list[Tensor]] = {name: [] for name in vars(start)}
    for k in range(start.num):
        step = triangle(roots[k]).T @ theta[k]
        parts["means"].append(start.means[k] + step[0:3])
        parts["log_scales"].append(start.log_scales[k] + step[3:6])
        parts["quats"].append(torch.linalg.matrix_exp(right_product(step[6:9] / 2)) @ start.quats[k])
        parts["opacity_logits"].append(start.opacity_logits[k] + step[9])
        parts["colors"].append(start.colors[k] + step[10:13])
    return Gaussians(**{name: torch.stack(values) for name, values in parts.items()})


def triangle(root: Tensor) -> Tensor:
    """The 13 x 13 matrix whose lower triangle is stored row by row."""
    L = root.new_zeros(13, 13)
    L[tuple(torch.tril_indices(13, 13))] = root
    return L


def right_product(r: Tensor) -> Tensor:
    """The matrix R with R q = q (0, r), quaternions wxyz."""
    zero = r.new_zeros(())
    x, y, z = r
    return torch.stack(
        [
            torch.stack([zero, -x, -y, -z]),
            torch.stack([x, zero, z, -y]),
            torch.stack([y, -z, zero, x]),
            torch.stack([z, y, -x, zero]),
        ]
    )
