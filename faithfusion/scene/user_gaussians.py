"""Gaussians of other programs, as they hold them in memory. For their files see `splat_files.import_gaussians`.

The scene around them is made by `splat_files.scene_before_color`, which says what is drawn behind them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.types import Gaussians
from faithfusion.utils.errors import InputError
from faithfusion.utils.harmonics import SH_0

SPLATFACTO_NAMES = ("means", "quats", "scales", "opacities", "features_dc", "features_rest")
NEAREST_TO_OPAQUE = 1e-6
"""Opacities of exactly 0 and 1 have no finite logit."""


def gaussians_from_gsplat(
    means: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    scales: Float[Tensor, "n 3"],
    opacities: Float[Tensor, " n"],
    colors: Float[Tensor, "n *k 3"],
) -> Gaussians:
    """Gaussians as `gsplat.rasterization` takes them, which is after activation.

    `scales` are standard deviations (exp has been applied), `opacities` lie in [0, 1] (sigmoid has been applied),
    quaternions are wxyz and need not be normalised. `colors`: spherical harmonics [n, k, 3] with k = 1, 4, 9 or 16, the
    same coefficients as in 3DGS files; or colours [n, 3] in [0, 1]. A checkpoint of gsplat's own trainer holds them
    before activation: pass `splats["scales"].exp()`, `splats["opacities"].sigmoid()` and
    `torch.cat([splats["sh0"], splats["shN"]], 1)`. Raises InputError for shapes that do not match, numbers that are not
    finite, scales that are not positive and opacities outside [0, 1].
    """
    if not (scales > 0).all():
        raise InputError("scales", f"{float(scales.min()):g}", "positive standard deviations, after exp")
    if not ((opacities >= 0) & (opacities <= 1)).all():
        found = f"{float(opacities.min()):g} to {float(opacities.max()):g}"
        raise InputError("opacities", found, "values in [0, 1], after the sigmoid")
    logits = torch.logit(opacities.double(), eps=NEAREST_TO_OPAQUE)
    harmonics = ((colors - 0.5) / SH_0)[:, None] if colors.ndim == 2 else colors
    return _checked(means, quats, scales.double().log(), logits, harmonics)


def gaussians_from_splatfacto(parameters: Mapping[str, Tensor]) -> Gaussians:
    """Gaussians of nerfstudio's splatfacto, before activation: `model.gauss_params`, or a checkpoint's "pipeline".

    They are in the frame of nerfstudio's cameras (`data.user_cameras.cameras_from_nerfstudio`). A model of degree 0
    keeps logits of colours in place of harmonics. Raises InputError if a tensor is missing or the shapes do not match.
    """
    found = {}
    for name in SPLATFACTO_NAMES:
        keys = [key for key in parameters if key == name or key.endswith(f"gauss_params.{name}")]
        if len(keys) != 1:
            raise InputError("splatfacto", f"{len(keys)} tensors named {name}", f"one of {', '.join(SPLATFACTO_NAMES)}")
        found[name] = parameters[keys[0]]
    constant, rest = found["features_dc"][:, None], found["features_rest"]
    if rest.shape[1] == 0:
        constant = (constant.sigmoid() - 0.5) / SH_0
    colors = torch.cat([constant, rest], 1)
    return _checked(found["means"], found["quats"], found["scales"], found["opacities"].flatten(), colors)


def _checked(means: Tensor, quats: Tensor, log_scales: Tensor, opacity_logits: Tensor, colors: Tensor) -> Gaussians:
    num, num_harmonics = len(means), colors.shape[1]
    tensors = {"means": (means, (num, 3)), "quaternions": (quats, (num, 4)), "scales": (log_scales, (num, 3))}
    tensors |= {"opacities": (opacity_logits, (num,)), "colours": (colors, (num, num_harmonics, 3))}
    for name, (tensor, shape) in tensors.items():
        if tuple(tensor.shape) != shape:
            expected = f"{(num, 3)} or ({num}, k, 3)" if name == "colours" else f"{shape}"
            raise InputError(name, f"shape {tuple(tensor.shape)}", expected)
        if not torch.isfinite(tensor).all():
            raise InputError(name, "NaN or infinite values", "finite numbers")
    if num_harmonics not in (1, 4, 9, 16) or not num:
        raise InputError("Gaussians", f"{num} with {num_harmonics} harmonics", "at least one with 1, 4, 9 or 16")
    return Gaussians(*(tensor.detach().float().contiguous() for tensor, _ in tensors.values()))
