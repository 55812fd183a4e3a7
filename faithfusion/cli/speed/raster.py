"""Measures footprints and seconds of the rasteriser on a synthetic street."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from faithfusion.cli.speed.speed_config import RasterConfig
from faithfusion.render import render
from faithfusion.render.constants import MIN_ALPHA
from faithfusion.types import Camera, Gaussians, Rendering
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


def median_s(work: Callable[[], object], repetitions: int, device: str) -> float:
    """Median wall time after two warm-up runs."""
    times = []
    for _ in range(repetitions + 2):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def bench_raster(config: RasterConfig) -> None:
    """Prints how heavy the scene is and the seconds of the forward and backward pass."""
    camera = street_camera(config.width, config.height).to(config.device)
    parameters = {k: v.to(config.device).requires_grad_() for k, v in vars(street_cloud(config.num_gaussians)).items()}
    gaussians = Gaussians(**parameters)
    background = torch.rand(config.height, config.width, 3, generator=make_generator(1)).to(config.device)
    draw = partial(render, gaussians, camera, background, backend=config.backend)
    rendering = draw()
    with torch.no_grad():
        print(describe(rendering))

    def forward_backward() -> None:
        result = draw()
        (result.color.square().mean() + result.depth.mean()).backward()

    forward_s = median_s(draw, config.repetitions, config.device)
    total_s = median_s(forward_backward, config.repetitions, config.device)
    print(f"forward {forward_s:.3f} s, backward {total_s - forward_s:.3f} s, total {total_s:.3f} s")


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
