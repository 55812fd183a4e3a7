"""gsplat's own trainer beside our fit: the same drive and points, the same steps, its own recipe.

The recipe is that of the trainer in gsplat's examples with its default strategy (version 1.5): where Gaussians start,
learning rates, decay of the positions', loss, and `gsplat.DefaultStrategy` as it is, which is made for 30,000 steps and
first acts after 500. Harmonics above degree 0, which that trainer adds after 1,000 steps, are left out. It knows no
sky, no moving objects, no LiDAR depth and no ground. Pictures are made by the rasteriser of the device: gsplat's on
CUDA, ours elsewhere, since gsplat's cannot run there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from gsplat import DefaultStrategy
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Adam, Optimizer

from faithfusion.fit.fit import cameras_extent_m, view_order
from faithfusion.fit.losses import photometric_loss
from faithfusion.fit.supervised_view import ViewLoader, to_device
from faithfusion.render import render
from faithfusion.types import Camera, DriveClip, Frame, Gaussians, GaussianScene, Projection, Sky
from faithfusion.utils.progress import track
from faithfusion.utils.seed import make_generator

INIT_OPACITY = 0.1
NEIGHBOURS = 3
"""A Gaussian starts as large as the mean distance (root mean square) of so many neighbours."""
RATES = {"means": 1.6e-4, "scales": 5e-3, "quats": 1e-3, "opacities": 5e-2, "sh0": 2.5e-3}
"""Of Adam; that of the positions times the extent of the cameras."""
MEANS_RATE_END = 0.01
SSIM_WEIGHT = 0.2


def gsplat_trained(
    clip: DriveClip, frames: Sequence[Frame], start: Gaussians, steps: int, seed: int, device: torch.device
) -> tuple[GaussianScene, float]:
    """The scene after `steps` steps from the places and colours of `start`, without sky, and the seconds they took."""
    views, extent_m = ViewLoader(clip, frames), cameras_extent_m(frames)
    params = _parameters(start, make_generator(seed, "gsplat trainer"), device)
    rates = RATES | {"means": RATES["means"] * extent_m}
    optimizers: dict[str, Optimizer] = {
        name: Adam([{"params": value}], lr=rates[name], eps=1e-15) for name, value in params.items()
    }
    strategy, decay = DefaultStrategy(), MEANS_RATE_END ** (1.0 / steps)
    strategy.check_sanity(params, optimizers)
    state, started = strategy.initialize_state(scene_scale=extent_m), time.monotonic()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # gsplat's split draws from the global generator
        for step in track(range(steps), "gsplat's trainer"):
            view = to_device(views.view(view_order(len(views), step, seed)), device)
            black = torch.zeros_like(view.image)
            rendering = render(_gaussians(params), view.camera, black)
            rendering.projection.means2d.retain_grad()
            photometric_loss(rendering.color, view.image, view.pixel_weight, SSIM_WEIGHT).backward()
            info = _seen(rendering.projection, view.camera)
            for optimizer in optimizers.values():
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            optimizers["means"].param_groups[0]["lr"] *= decay
            strategy.step_post_backward(params, optimizers, state, step, info)
    seconds = time.monotonic() - started
    gaussians = _gaussians({name: value.detach() for name, value in params.items()})
    static = torch.zeros(gaussians.num, dtype=torch.long, device=device)
    return GaussianScene(gaussians, static, (), Sky(torch.zeros(2, 4, 3, device=device))), seconds


def _parameters(start: Gaussians, random: torch.Generator, device: torch.device) -> dict[str, Parameter]:
    points = start.means.detach().cpu()
    distances, _ = cKDTree(points.numpy()).query(points.numpy(), k=min(NEIGHBOURS + 1, len(points)))
    size = torch.from_numpy(distances[:, 1:]).float().square().mean(1).sqrt().clamp_min(1e-6)
    values = {
        "means": points,
        "scales": size.log()[:, None].repeat(1, 3),
        "quats": torch.rand(len(points), 4, generator=random),
        "opacities": torch.full((len(points),), INIT_OPACITY).logit(),
        "sh0": start.colors.detach().cpu()[:, :1],
    }
    return {name: Parameter(value.clone().to(device)) for name, value in values.items()}


def _gaussians(params: dict[str, Parameter] | dict[str, Tensor]) -> Gaussians:
    return Gaussians(params["means"], params["quats"], params["scales"], params["opacities"], params["sh0"])


def _seen(projection: Projection, camera: Camera) -> dict[str, object]:
    """What the strategy asks of a rasterisation of one camera."""
    means2d = projection.means2d.detach()[None].clone()
    means2d.grad = projection.means2d.grad[None]
    radii = projection.radii[None, :, None].expand(-1, -1, 2)
    size = {"width": camera.width, "height": camera.height}
    return size | {"means2d": means2d, "radii": radii, "n_cameras": 1, "gaussian_ids": None}
