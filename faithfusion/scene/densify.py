"""Adaptive density control with gsplat's duplicate, split and remove, under a hard ceiling.

The rule is that of Kerbl et al. 2023, section 5.2, with two changes for short fits of long streets: the sizes that
decide between duplicating and splitting are measured in the images (a street has no single scale), and growth takes
the Gaussians with the largest screen-space gradients first, as many as there is room for.
"""

from __future__ import annotations

import torch
from gsplat.strategy.ops import duplicate, remove, split
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from faithfusion.scene.scene_config import DensifyConfig

PRUNE_OPACITY = 0.01
"""Gaussians below this opacity are removed."""


def new_statistics(node_ids: Int[Tensor, " n"]) -> dict[str, Tensor]:
    """Running sums per Gaussian. `node_ids` rides along: gsplat's operations carry every tensor of this dictionary."""
    zeros = torch.zeros(len(node_ids), device=node_ids.device)
    return {"node_ids": node_ids.clone(), "gradient": zeros, "count": zeros.clone(), "radius": zeros.clone()}


def observe(
    statistics: dict[str, Tensor], means2d_grad: Float[Tensor, "n 2"], radii: Int[Tensor, " n"], width: int, height: int
) -> None:
    """Adds one view's screen-space gradients and radii (pixels, 0 = culled)."""
    visible = radii > 0
    x, y = means2d_grad.unbind(-1)
    slope = torch.hypot(x * (width / 2.0), y * (height / 2.0))
    statistics["gradient"] += torch.where(visible, slope, 0.0)
    statistics["count"] += visible.float()
    statistics["radius"] = torch.maximum(statistics["radius"], radii.float() / width)


@torch.no_grad()
def refine(
    params: dict[str, Parameter],
    optimizers: dict[str, Optimizer],
    statistics: dict[str, Tensor],
    config: DensifyConfig,
    generator: torch.Generator,
) -> tuple[int, int]:
    """Grows, prunes and clears the running sums, in place. Returns (added, removed).

    `params` and `optimizers` have gsplat's keys "means", "quats", "scales", "opacities" and any further ones.
    """
    device = params["means"].device
    dead = torch.sigmoid(params["opacities"]) < PRUNE_OPACITY
    num_removed = int(dead.sum())
    if 0 < num_removed < len(dead):
        remove(params, optimizers, statistics, dead)
    duplicated, divided = _choose_growth(statistics, config)
    num_duplicated, num_divided = int(duplicated.sum()), int(divided.sum())
    if num_duplicated:
        duplicate(params, optimizers, statistics, duplicated)
    if num_divided:
        divided = torch.cat([divided, divided.new_zeros(num_duplicated)])
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(generator.initial_seed())  # gsplat's split draws from the global generator
            split(params, optimizers, statistics, divided)
    for name in ("gradient", "count", "radius"):
        statistics[name].zero_()
    return num_duplicated + num_divided, num_removed


def _choose_growth(
    statistics: dict[str, Tensor], config: DensifyConfig
) -> tuple[Bool[Tensor, " n"], Bool[Tensor, " n"]]:
    """(to duplicate, to split): the largest mean gradients above the threshold, within the ceiling."""
    gradient = statistics["gradient"] / statistics["count"].clamp_min(1.0)
    num = len(gradient)
    room = max(min(config.max_gaussians - num, int(config.max_growth * num)), 0)
    wanted = gradient > config.grow_gradient
    if int(wanted.sum()) > room:
        strongest = torch.topk(gradient, room).indices
        wanted = torch.zeros_like(wanted).index_fill(0, strongest, True)
    large = statistics["radius"] > config.split_radius
    return wanted & ~large, wanted & large
