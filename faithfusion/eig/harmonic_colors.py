"""How the colour of a Gaussian changes with its spherical harmonics and with where it is.

rgb_c = max(0, 1/2 + sum_i Y_i(e) C_ic) with the direction e = (m - o) / |m - o| from the viewpoint o to the mean m, so

    d rgb_c / d C_ic = Y_i(e),    d rgb_c / d m = sum_i C_ic dY_i/de (I - e e^T) / |m - o|,

both 0 where the colour is clamped at 0. Directions are world directions, also those of rigid nodes (`scene.graph`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from faithfusion.render.view_colors import sh_basis


def add_color_slopes(
    jacobian: Float[Tensor, "m 9 d"],
    colors: Float[Tensor, "m k 3"],
    means: Float[Tensor, "m 3"],
    world_from_node: Float[Tensor, "m 3 3"],
    viewpoint: Float[Tensor, 3],
    rgb: Float[Tensor, "m 3"],
) -> None:
    """Writes the colour rows of U in place, d = 10 + 3 k: by the mean in node axes and by every coefficient.

    `means` are in the world; `rgb` is the colour as rendered, which says what is clamped.
    """
    basis, by_mean = color_slopes(colors, means, viewpoint)
    visible = (rgb > 0).to(basis)
    jacobian[:, 6:, :3] = visible[:, :, None] * (by_mean @ world_from_node)
    jacobian[:, 6:, 10:] = (basis[:, None, :, None] * torch.diag_embed(visible)[:, :, None, :]).flatten(2)


def color_slopes(
    colors: Float[Tensor, "m k 3"], means: Float[Tensor, "m 3"], viewpoint: Float[Tensor, 3]
) -> tuple[Float[Tensor, "m k"], Float[Tensor, "m 3 3"]]:
    """Change of a channel with its coefficients, Y(e), and with the mean [channel, axis] in 1/metre, before the clamp.

    A mean moves its own direction only, so one gradient of the sum over Gaussians per channel has the slopes of all.
    """
    with torch.enable_grad():
        points = means.detach().requires_grad_()
        basis = sh_basis(F.normalize(points - viewpoint, dim=-1), colors.shape[1])
        sums = torch.einsum("mk,mkc->c", basis, colors)
        by_mean = [torch.autograd.grad(channel, points, retain_graph=True)[0] for channel in sums]
    return basis.detach(), torch.stack(by_mean, 1)
