"""Measures where the time of a step of the fit and of the distillation goes."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithfusion.cli.speed.cost import peak_mib, print_head, print_row, seconds_of
from faithfusion.cli.speed.gsplat_peer import GSPLAT, gsplat_step
from faithfusion.cli.speed.raster import describe, street_camera, street_cloud
from faithfusion.cli.speed.speed_config import Size, StepConfig
from faithfusion.eig.config import EigConfig
from faithfusion.eig.posterior import prior_posterior
from faithfusion.eig.variance_polynomials import posterior_roots
from faithfusion.fit.fit_config import FitConfig
from faithfusion.fit.ground_loss import ground_loss
from faithfusion.fit.optimiser import SceneOptimiser, scene_losses
from faithfusion.fit.recording import Rig
from faithfusion.fit.supervised_view import SupervisedView, to_device
from faithfusion.fit.whitened import Metric
from faithfusion.render.exposure import expose, exposure_of
from faithfusion.render.gsplat_backend import blend_gsplat
from faithfusion.render.project import project
from faithfusion.render.rasterise import choose_backend
from faithfusion.render.render_view import render_view
from faithfusion.render.tiles import intersect_tiles
from faithfusion.render.warp_backend import blend_warp
from faithfusion.scene.densify import new_statistics, observe
from faithfusion.scene.graph import gaussians_at
from faithfusion.scene.ground import Ground
from faithfusion.scene.move_gaussians import move_gaussians
from faithfusion.scene.scene_file import scene_to
from faithfusion.scene.sky import sky_background
from faithfusion.types import Gaussians, GaussianScene, Projection, Rendering, RigidNode, Sky
from faithfusion.utils.device import choose_device
from faithfusion.utils.similarity import Similarity

NUM_FRAMES, NUM_NODES = 10, 4
STEP = "step of the fit"
WHOLE = {STEP: True, "step of the distillation": False}
"""Whole steps, and whether they are the fit's."""
Work = Callable[[], Sequence[Tensor]]
"""A part of the step from tensors without history; what it returns is differentiated backwards, if anything."""


def bench_step(config: StepConfig) -> None:
    """Prints, for every size, seconds of every kind of work (minimum, median, maximum), forward and backward on their
    own, of whole steps, and what is left of a step when all parts are taken away; and the peak of memory in whole
    steps. On a CUDA device gsplat's own way from Gaussians to a picture stands beside them."""
    is_cuda, before = choose_device(config.device).type == "cuda", torch.get_num_threads()
    places = [before] if is_cuda else config.threads
    names = ["cuda"] if is_cuda else [f"threads {threads}" for threads in places]
    heads = [f"{name}: {what}" for name in names for what in ("min", "median", "max")]
    for size in config.sizes:
        view, scene, ground = street_view(size, config.device)
        with torch.no_grad():
            print(describe(render_view(scene, view.camera, view.time_index)))
        peaks, columns = peaks_of(scene, view, ground), []
        for threads in places:
            torch.set_num_threads(threads)
            columns.append(measure(scene, view, ground, config.repetitions))
        torch.set_num_threads(before)
        print_head("work", *heads, "peak MiB")
        for name in columns[0]:
            cells = [f"{number:.4f}" for column in columns for number in column[name]]
            print_row(name, *cells, f"{peaks[name]:.0f}" if name in peaks else "")
        print()


def street_view(size: Size, device: str) -> tuple[SupervisedView, GaussianScene, Ground]:
    """The street of `bench raster`, z up, with a few moving objects, a recorded picture of it and its ground."""
    num, width, height = size
    turn = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # looks along x
    camera = street_camera(width, height)
    pose = camera.world_from_camera.clone()
    pose[:3, :3] = torch.from_numpy(turn).float()
    camera = dataclasses.replace(camera, world_from_camera=pose, name="0")
    cloud = move_gaussians(street_cloud(num), Similarity(turn, np.zeros(3)))
    times, poses = torch.arange(NUM_FRAMES), torch.eye(4).repeat(NUM_FRAMES, 1, 1)
    nodes = tuple(RigidNode(f"car {i}", torch.tensor([4.5, 1.9, 1.6]), times, poses) for i in range(NUM_NODES))
    number = torch.arange(num)
    node_ids = torch.where(number % 25 == 0, 1 + number // 25 % NUM_NODES, 0).int()
    scene = scene_to(GaussianScene(cloud, node_ids, nodes, Sky(torch.full((64, 128, 3), 0.5))), device)
    with torch.no_grad():
        rendering = render_view(scene, camera, 0)
    picture = (0.9 * rendering.color + 0.05).clamp(0.0, 1.0)
    is_scanned = torch.arange(height, device=picture.device)[:, None] % 4 == 0
    lidar_m = torch.where(is_scanned, rendering.depth, 0.0)
    sky = rendering.alpha < 0.1
    view = SupervisedView(camera, 0, picture, torch.ones_like(lidar_m), lidar_m, sky, is_recorded=True)
    ground = Ground(torch.tensor([0.0, -12.0]), torch.full((50, 17), -1.6), torch.ones(50, 17, dtype=torch.bool))
    return to_device(view, device), scene, ground.to(device)


def _optimiser(scene: GaussianScene, ground: Ground, *, is_fit: bool) -> SceneOptimiser:
    """What the fit and the distillation make of the default options; Gaussians are neither added nor removed. The
    distillation's metric is that of the prior: the numbers in it make no difference to the time."""
    config, rig = FitConfig(), Rig(("0",), torch.eye(4).repeat(NUM_FRAMES, 1, 1))
    densify = dataclasses.replace(config.densify, stop_step=0)
    given: dict[str, Any] = {"densify": densify, "recording": config.recording, "rig": rig}
    if not is_fit:
        roots = posterior_roots(scene, prior_posterior(scene, EigConfig()))
        given = {} if roots is None else {"metric": Metric(roots, rate=0.1, rate_end=0.1)}
    return SceneOptimiser(scene, config.optimise, num_steps=1000, extent_m=30.0, ground=ground, **given)


def peaks_of(scene: GaussianScene, view: SupervisedView, ground: Ground) -> dict[str, float]:
    """The peak of memory in MiB during a step, by the names of WHOLE, with nothing else held than it needs."""
    peaks, device = {}, scene.sky.texture.device
    for name, is_fit in WHOLE.items():
        optimiser = _optimiser(scene, ground, is_fit=is_fit)
        optimiser.step(view)  # makes Adam's averages
        peaks[name] = peak_mib(partial(optimiser.step, view), device)
    if device.type == "cuda":
        peaks[GSPLAT] = peak_mib(_gsplat(scene, view), device)
    return peaks


def measure(
    scene: GaussianScene, view: SupervisedView, ground: Ground, repetitions: int
) -> dict[str, tuple[float, float, float]]:
    """Minimum, median and maximum of every row of the table, seconds."""
    parts = parts_of(_optimiser(scene, ground, is_fit=True), view, ground)
    optimisers = {name: _optimiser(scene, ground, is_fit=is_fit) for name, is_fit in WHOLE.items()}
    whole: dict[str, Callable[[], Any]] = {name: partial(of.step, view) for name, of in optimisers.items()}
    if scene.sky.texture.is_cuda:
        whole[GSPLAT] = _gsplat(scene, view)
    rounds = [_one_round(parts, whole, scene.sky.texture.device) for _ in range(repetitions + 2)][2:]
    for row in rounds:
        row[f"{STEP}, all else"] = row[STEP] - sum(seconds for name, seconds in row.items() if name not in whole)
    columns = {name: [row[name] for row in rounds] for name in rounds[0]}
    return {name: (min(of), statistics.median(of), max(of)) for name, of in columns.items()}


def _gsplat(scene: GaussianScene, view: SupervisedView) -> Callable[[], None]:
    """gsplat's picture of the scene at the view, forward and backward; the poses of all nodes are the identity."""
    gaussians = Gaussians(**_leaves(scene.gaussians))
    return partial(gsplat_step, gaussians, view.camera, torch.full_like(view.image, 0.5))


def _one_round(parts: dict[str, Work], whole: dict[str, Callable[[], Any]], device: torch.device) -> dict[str, float]:
    """Seconds of every part and of every whole piece of work, once."""
    row = {}
    for name, work in parts.items():
        row[name], results = _timed(work, device)
        results = [result for result in results if result.requires_grad]
        if results:
            gradients = [torch.ones_like(result) for result in results]
            row[f"{name}, backward"], _ = _timed(partial(torch.autograd.backward, results, gradients), device)
    for name, work in whole.items():
        row[name], _ = _timed(work, device)
    return row


def parts_of(optimiser: SceneOptimiser, view: SupervisedView, ground: Ground) -> dict[str, Work]:
    """The parts of a step of `optimiser`, each on the results of the parts before it."""
    camera, time_index, config = view.camera, view.time_index, optimiser.config

    def posed() -> tuple[Gaussians, Tensor]:
        scene = optimiser.scene(time_index)
        gaussians, background = gaussians_at(scene, time_index), torch.zeros_like(view.image)
        exposure = exposure_of(scene.exposure, camera, time_index)
        return (gaussians, background) if exposure is None else expose(gaussians, background, *exposure)

    scene = optimiser.scene(time_index)
    gaussians = Gaussians(**_leaves(posed()[0]))
    projection = Projection(**_leaves(project(gaussians, camera)))
    background = sky_background(scene.sky, camera).detach().requires_grad_()
    tiles = intersect_tiles(projection, camera.width, camera.height)
    backend = choose_backend("auto", camera.intrinsics.device.type)
    blend = blend_gsplat if backend == "gsplat" else blend_warp
    images = [image.detach().requires_grad_() for image in blend(projection, tiles, background)]
    rendering = Rendering(*images, projection, tiles, backend)
    sums = new_statistics(scene.node_ids)
    gradients = torch.ones_like(projection.means2d)

    def list_tiles() -> tuple[()]:
        intersect_tiles(projection, camera.width, camera.height)
        return ()

    def count() -> tuple[()]:
        observe(sums, gradients, projection.radii, camera.width, camera.height)
        return ()

    def descend() -> tuple[()]:
        for adam in optimiser.optimizers.values():
            adam.param_groups[0]["lr"] = 0.0  # the same work, and every round sees the same scene
            adam.step()
            adam.zero_grad(set_to_none=True)
        return ()

    return {
        "nodes and exposure": lambda: [*vars(posed()[0]).values()],
        "sky": lambda: [sky_background(scene.sky, camera)],
        "projection": lambda: [*vars(project(gaussians, camera)).values()],
        "tiles": list_tiles,
        "blending": lambda: blend(projection, tiles, background),
        "losses of the picture": lambda: [*scene_losses(rendering, view, config).values()],
        "ground loss": lambda: [config.ground_weight * ground_loss(gaussians, scene.node_ids, ground)],
        "statistics": count,
        "Adam": descend,
    }


def _leaves(of: Gaussians | Projection) -> dict[str, Tensor]:
    """The same tensors without history, differentiable where they are real numbers."""
    return {name: value.detach().requires_grad_(value.is_floating_point()) for name, value in vars(of).items()}


def _timed(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Wall time until the device has finished, and what the work returns."""
    results = []
    return seconds_of(lambda: results.append(work()), device), results[0]
