"""What EIG and a frame of a window cost beside rendering: seconds, ratios to one forward + backward, peaks of memory,
and how they grow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from faithfusion.cli.speed.cost import COST_HEADS, Cost, cost_of, print_head, print_row
from faithfusion.cli.speed.gsplat_peer import GSPLAT, gsplat_step
from faithfusion.cli.speed.raster import covered_pixels, street_camera, street_cloud
from faithfusion.cli.speed.speed_config import EigCostConfig
from faithfusion.cli.speed.window_frame import window_frame
from faithfusion.eig.calibrate import fit_calibration
from faithfusion.eig.config import EigConfig
from faithfusion.eig.field import EigField
from faithfusion.eig.observe import add_view, no_evidence, whole_view
from faithfusion.eig.pixel_gain import eig_map
from faithfusion.eig.posterior import conclude
from faithfusion.render.render_view import render_view
from faithfusion.scene.scene_file import scene_to
from faithfusion.types import Camera, Gaussians, GaussianScene, Rendering, Sky
from faithfusion.utils.device import choose_device

RENDER = "forward + backward"


def bench_eig(config: EigCostConfig) -> None:
    """Prints a row per size and piece of work: seconds, the peak of memory, the ratio of the medians to forward +
    backward, and seconds per million Gaussian-pixel pairs. Every pass has its own render inside."""
    print(f"on {config.device}, {torch.get_num_threads()} threads; {EigConfig().posterior} posterior")
    print_head("Gaussians", "image", "million pairs", "work", *COST_HEADS, "ratio", "s / M pairs")
    for num, width, height in config.sizes:
        scene, camera = street_scene(num, config.device), street_camera(width, height).to(config.device)
        with torch.no_grad():
            rendering = render_view(scene, camera, 0)
        pairs, render_s = covered_pixels(rendering) / 1e6, float("nan")
        for name, cost in costs(scene, camera, rendering, config):
            render_s = cost.median_s if name == RENDER else render_s
            ends = (f"{cost.median_s / render_s:.3f}", f"{cost.median_s / pairs:.4f}")
            print_row(f"{num}", f"{width}x{height}", f"{pairs:.3f}", name, *cost.cells(), *ends)


def street_scene(num: int, device: str) -> GaussianScene:
    """The cloud of `raster` before a grey sky; its Gaussians take gradients."""
    sky = Sky(torch.full((64, 128, 3), 0.5))
    scene = scene_to(GaussianScene(street_cloud(num), torch.zeros(num, dtype=torch.int32), (), sky), device)
    leaves = {name: value.requires_grad_() for name, value in vars(scene.gaussians).items()}
    return dataclasses.replace(scene, gaussians=Gaussians(**leaves))


def costs(
    scene: GaussianScene, camera: Camera, rendering: Rendering, config: EigCostConfig
) -> Iterator[tuple[str, Cost]]:
    """The names of the pieces of work and their costs, forward + backward first."""
    cost = partial(cost_of, repetitions=config.repetitions, device=config.device)
    sky = torch.full_like(rendering.color, 0.5)

    def forward_backward() -> None:
        result = render_view(scene, camera, 0)
        (result.color.square().mean() + result.depth.mean()).backward()

    yield RENDER, cost(forward_backward)
    if choose_device(config.device).type == "cuda":
        yield GSPLAT, cost(lambda: gsplat_step(scene.gaussians, camera, sky))
    for value in vars(scene.gaussians).values():
        value.grad = None  # what follows makes no gradients, and their memory is not its own
    image: Tensor = (rendering.color + 0.05).clamp(0.0, 1.0)
    view, evidence = whole_view(camera, 0, image), no_evidence(scene, EigConfig())
    yield "posterior pass", cost(lambda: add_view(scene, view, evidence))
    posterior = conclude(scene, evidence)
    del evidence
    known = EigField(scene, posterior, fit_calibration(None, posterior.config))
    roots = known.roots
    yield "pixel map", cost(lambda: eig_map(scene, posterior, camera, 0, roots=roots))
    yield "frame of a window", cost(window_frame(known, camera))
