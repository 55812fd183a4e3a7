"""The colours that spherical harmonics give from a viewpoint."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from faithfusion.utils.harmonics import SH_0, sh_basis

__all__ = ["SH_0", "sh_basis", "view_colors"]


def view_colors(
    colors: Float[Tensor, "n k 3"], means: Float[Tensor, "n 3"], viewpoint: Float[Tensor, 3]
) -> Float[Tensor, "n 3"]:
    """rgb = max(0, 0.5 + sum_i Y_i(direction) c_i), differentiable.

    The direction runs from the viewpoint to the mean.
    """
    if colors.shape[1] == 1:
        return (0.5 + SH_0 * colors[:, 0]).clamp_min(0.0)
    basis = sh_basis(F.normalize(means - viewpoint, dim=-1), colors.shape[1])
    return (0.5 + (basis[:, None, :] @ colors)[:, 0]).clamp_min(0.0)
