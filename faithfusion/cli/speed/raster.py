"""Measures footprints and seconds of the rasteriser on a synthetic street."""

from __future__ import annotations

from functools import partial

import torch

from faithfusion.cli.speed.cost import COST_HEADS, Cost, cost_of, print_head, print_row
from faithfusion.cli.speed.gsplat_peer import GSPLAT, gsplat_step
from faithfusion.cli.speed.speed_config import RasterConfig
from faithfusion.render import render
from faithfusion.render.constants import MIN_ALPHA
from faithfusion.types import Camera, Gaussians, Rendering
from faithfusion.utils.device import choose_device
from faithfusion.utils.seed import make_generator


def street_cloud(num: int) -> Gaussians:
    """Flat Gaussians of about 10 cm on a 60 m street seen along +z: 40 % road, 50 % facades, 10 % in the air."""
    generator = make_generator(0, "bench street")
    kind, u, v, w = torch.rand(4, num, generator=generator)
    distance = 3.0 + 57.0 * u
    road = torch.stack([16.0 * v - 8.0, torch.full_like(v, 1.6), distance], -1)
    facade = torch.stack([torch.where(w < 0.5, -8.0, 8.0), 1.6 - 9.0 * v, distance], -1)
    air = torch.stack([16.0 * v - 8.0, 1.6 - 4.0 * w, distance], -1)
    means = torch.where((kind < 0.4)[:, None], road, torch.where((kind < 0.9)[:, None], facade, air))
    log_scales = 0.5 * torch.randn(num, 3, generator=generator) - 2.3
    log_scales[:, 1] -= 1.5 * (kind < 0.4)
    log_scales[:, 0] -= 1.5 * ((kind >= 0.4) & (kind < 0.9))
    quats = torch.tensor([1.0, 0, 0, 0]) + 0.1 * torch.randn(num, 4, generator=generator)
    opacity_logits = 1.5 * torch.randn(num, generator=generator)
    return Gaussians(means, quats, log_scales, opacity_logits, 0.5 * torch.randn(num, 1, 3, generator=generator))


def street_camera(width: int, height: int) -> Camera:
    """A camera that looks down the street."""
    focal_px = 0.8 * width
    intrinsics = torch.tensor([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]])
    return Camera(intrinsics, torch.eye(4), width, height)


def street_gaussians(num: int, device: str) -> Gaussians:
    """The cloud on a device, as leaves that take gradients."""
    tensors = {name: value.to(device) for name, value in vars(street_cloud(num)).items()}
    return Gaussians(**{name: value.requires_grad_() for name, value in tensors.items()})


def bench_raster(config: RasterConfig) -> None:
    """Prints how heavy every scene is, and a row per piece of work: seconds and the peak of memory. On a CUDA device
    gsplat's own way from Gaussians to a picture stands beside ours."""
    for num, width, height in config.sizes:
        costs, rendering = _measure(num, width, height, config)
        print(describe(rendering))
        print_head("work", *COST_HEADS)
        for name, cost in costs.items():
            print_row(name, *cost.cells())
        print()


def _measure(num: int, width: int, height: int, config: RasterConfig) -> tuple[dict[str, Cost], Rendering]:
    """The costs by their names, and a rendering without history."""
    device = config.device
    camera, gaussians = street_camera(width, height).to(device), street_gaussians(num, device)
    background = torch.rand(height, width, 3, generator=make_generator(1)).to(device)
    draw = partial(render, gaussians, camera, background, backend=config.backend)

    def forward_backward() -> None:
        result = draw()
        (result.color.square().mean() + result.depth.mean()).backward()

    works = {"forward": draw, "forward + backward": forward_backward}
    if choose_device(device).type == "cuda":
        works[GSPLAT] = partial(gsplat_step, gaussians, camera, background)
    costs = {name: cost_of(work, config.repetitions, device) for name, work in works.items()}
    with torch.no_grad():
        return costs, draw()


def describe(rendering: Rendering) -> str:
    """How heavy the scene is: footprints, tile entries and Gaussians blended per pixel."""
    projection, tiles = rendering.projection, rendering.tiles
    seen = projection.radii > 0
    depth_complexity = covered_pixels(rendering) / rendering.alpha.numel()
    height, width = rendering.alpha.shape
    return (
        f"{len(seen)} Gaussians at {width}x{height} on {seen.device.type} ({rendering.backend}, "
        f"{torch.get_num_threads()} threads): {int(seen.sum())} visible, median radius "
        f"{int(projection.radii[seen].median())} px, {tiles.gaussian_ids.numel()} tile entries, "
        f"about {depth_complexity:.0f} Gaussians over each pixel, mean alpha {float(rendering.alpha.mean()):.2f}"
    )


def covered_pixels(rendering: Rendering) -> float:
    """Sum over the visible Gaussians of the area of their ellipse alpha >= MIN_ALPHA, pixels."""
    projection = rendering.projection
    seen = projection.radii > 0
    a, b, c = projection.conics[seen].detach().unbind(-1)
    reach = 2.0 * (projection.opacities[seen].detach() / MIN_ALPHA).log()
    return float((torch.pi * reach / (a * c - b * b).sqrt()).sum())
