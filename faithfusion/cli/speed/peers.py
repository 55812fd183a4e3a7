"""Peers, side by side in one run: FisherRF's way beside EIG, gsplat and its trainer beside rasteriser and fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.cli.speed.cost import COST_HEADS, Cost, cost_of, print_head, print_row
from faithfusion.cli.speed.gsplat_peer import GSPLAT, gsplat_step, gsplat_torch_projection
from faithfusion.cli.speed.gsplat_trainer import gsplat_trained
from faithfusion.cli.speed.raster import street_camera, street_gaussians
from faithfusion.cli.speed.speed_config import PeersConfig, Size
from faithfusion.data.images import load_image
from faithfusion.eig.assess import RecordedViews
from faithfusion.eig.fisher import FisherMaps, add_fisher_view, fisher_information, fisher_maps
from faithfusion.eig.observe import add_view, no_evidence
from faithfusion.eig.pixel_gain import eig_map
from faithfusion.eig.posterior import fit_posterior
from faithfusion.eig.variance_polynomials import posterior_roots
from faithfusion.evaluate.eig.scores import FISHER_GAIN, FISHER_SEEN, OURS
from faithfusion.evaluate.metrics.uncertainty import sparsification, spearman, subsample
from faithfusion.evaluate.street_scenes import FittedScene, fitted_street, informing_frames
from faithfusion.fit.fit import fit_scene
from faithfusion.render import render
from faithfusion.render.project import project
from faithfusion.render.render_view import render_view
from faithfusion.scene.initialise import initialise_scene
from faithfusion.scene.scene_file import scene_to
from faithfusion.types import Camera, Gaussians, GaussianScene
from faithfusion.utils.device import choose_device
from faithfusion.utils.image_math import psnr_db
from faithfusion.utils.progress import track

FISHER = "FisherRF"
MapsOf = Callable[[Camera, int], dict[str, Float[Tensor, "h w"]]]
"""The maps of a new view at a time stamp, by their names."""


def bench_peers(config: PeersConfig) -> None:
    """Prints seconds and peaks of memory per training view and per new view of EIG and FisherRF, how well their maps
    rank the true error, what our fit and gsplat's trainer reach, and the rasteriser's seconds beside gsplat's."""
    fitted = fitted_street(config.truth, config.truth.seeds[0])
    device = fitted.scene.gaussians.means.device
    print(f"{fitted.name}, {fitted.scene.gaussians.num} Gaussians on {device.type}, {torch.get_num_threads()} threads")
    maps = print_costs(fitted, config, device)
    print_scores(fitted, maps, config.shift_m)
    print_fits(fitted, config)
    for size in config.sizes:
        print_gsplat(size, config.repetitions, device)


def print_costs(fitted: FittedScene, config: PeersConfig, device: torch.device) -> dict[str, MapsOf]:
    """A row per method and kind of view; the methods' maps, after all training views. Every pass has its own render
    inside, and reading pictures is left out."""
    scene, eig = fitted.scene, config.truth.eig
    views = RecordedViews(fitted.drive.clip, informing_frames(fitted, config.truth))
    view, evidence = views[len(views) // 2], no_evidence(scene, eig)
    scratch, posterior = fisher_information(scene, []), fit_posterior(scene, views, eig)
    information, roots = fisher_information(scene, views), posterior_roots(scene, posterior)
    maps: dict[str, MapsOf] = {
        OURS: lambda *at: {OURS: eig_map(scene, posterior, *at, roots=roots)[0].eig_nats},
        FISHER: lambda *at: _named(fisher_maps(scene, information, *at)),
    }
    new = next(fitted.truth[config.shift_m]())
    works: dict[str, Callable[[], object]] = {
        f"{OURS}, posterior per training view": lambda: add_view(scene, view, evidence),
        f"{FISHER}, posterior per training view": lambda: add_fisher_view(scene, view, 0, scratch),
        f"{OURS}, map of a new view": partial(maps[OURS], new.camera, new.time_index),
        f"{FISHER}, both maps of a new view": partial(maps[FISHER], new.camera, new.time_index),
    }
    _print_costs({name: cost_of(work, config.repetitions, device) for name, work in works.items()})
    return maps


def print_scores(fitted: FittedScene, maps: dict[str, MapsOf], shift_m: float) -> None:
    """Spearman and AUSE of the maps against the error of the render, over the pixels of all true views at the shift."""
    errors, uncertainty = [], {name: [] for name in (OURS, FISHER_GAIN, FISHER_SEEN)}
    for true in track(list(fitted.truth[shift_m]()), f"{fitted.name}, {shift_m:+g} m"):
        with torch.no_grad():
            color = render_view(fitted.scene, true.camera, true.time_index).color.cpu()
        errors.append((color.clamp(0.0, 1.0) - true.image).abs().mean(-1))
        for maps_of in maps.values():
            for name, found in maps_of(true.camera, true.time_index).items():
                uncertainty[name].append(found.cpu())
    print(f"\n{len(errors)} true views at {shift_m:+g} m\n")
    print_head("map", "Spearman", "AUSE")
    for name, parts in uncertainty.items():
        pairs = subsample(torch.stack(parts).numpy(), torch.stack(errors).numpy())
        print_row(name, f"{spearman(*pairs):.3f}", f"{sparsification(*pairs).ause:.3f}")


def print_fits(fitted: FittedScene, config: PeersConfig) -> None:
    """Our fit and gsplat's trainer after equal steps on the same drive, on the device that a fit takes."""
    drive, fit, at = fitted.drive, config.truth.fit, choose_device(config.truth.device)
    lidar = {"lidar": drive.lidar.cloud(drive.split.train), "ground": drive.lidar.ground(drive.split.train)}
    ours, log = fit_scene(drive.clip, drive.split.train, fit, lidar=drive.lidar, device=str(at))
    start = initialise_scene(drive.clip, drive.split.train, fit.initialise, **lidar)
    is_static = start.node_ids == 0
    points = Gaussians(*(getattr(start.gaussians, f.name)[is_static] for f in dataclasses.fields(Gaussians)))
    theirs, seconds = gsplat_trained(drive.clip, drive.split.train, points, fit.steps, 0, at)
    print(f"\n{fit.steps} steps on {at.type}; PSNR in dB\n")
    print_head("fit", "s", "Gaussians", "held-out frames", f"{config.shift_m:+g} m")
    scenes = {"ours": (scene_to(ours, at), log.seconds), "gsplat's trainer": (theirs, seconds)}
    for name, (scene, took_s) in scenes.items():
        recorded = [(frame.camera, frame.time_index, load_image(frame)) for frame in drive.split.held_out]
        beside = [(true.camera, true.time_index, true.image) for true in fitted.truth[config.shift_m]()]
        scores = [f"{_mean_psnr_db(scene, views):.2f}" for views in (recorded, beside)]
        print_row(name, f"{took_s:.0f}", str(scene.gaussians.num), *scores)


@torch.no_grad()
def _mean_psnr_db(scene: GaussianScene, views: list[tuple[Camera, int, Tensor]]) -> float:
    device = scene.gaussians.means.device
    found = [
        psnr_db(render_view(scene, camera.to(device), time).color.cpu().clamp(0.0, 1.0), image)
        for camera, time, image in views
    ]
    return sum(found) / len(found)


def print_gsplat(size: Size, repetitions: int, device: torch.device) -> None:
    """Projection on any device, and on CUDA whole pictures, forward and backward each, ours beside gsplat's."""
    num, width, height = size
    camera, gaussians = street_camera(width, height).to(device), street_gaussians(num, str(device))
    background = torch.full((height, width, 3), 0.5, device=device)

    def ours() -> None:
        rendering = render(gaussians, camera, background)
        torch.autograd.backward(rendering.color.square().mean() + rendering.depth.mean())

    def projected() -> None:
        screen = project(gaussians, camera)
        _back(screen.means2d, screen.conics, screen.depths)

    works: dict[str, Callable[[], object]] = {
        "ours, projection": projected,
        "gsplat in plain torch, projection": lambda: _back(*gsplat_torch_projection(gaussians, camera)),
        "ours, forward + backward": ours,
    }
    if device.type == "cuda":
        works[GSPLAT] = partial(gsplat_step, gaussians, camera, background)
    print(f"\n{num} Gaussians of a synthetic street at {width}x{height}, forward and backward\n")
    _print_costs({name: cost_of(work, repetitions, device) for name, work in works.items()})
    if device.type != "cuda":
        print("\ngsplat's rasteriser in plain torch needs CUDA kernels, its own and nerfacc's: no row on the CPU")


def _named(maps: FisherMaps) -> dict[str, Float[Tensor, "h w"]]:
    return {FISHER_GAIN: maps.gain, FISHER_SEEN: maps.seen}


def _back(*results: Tensor) -> None:
    torch.autograd.backward(results, [torch.ones_like(result) for result in results])


def _print_costs(costs: dict[str, Cost]) -> None:
    print_head("work", *COST_HEADS)
    for name, cost in costs.items():
        print_row(name, *cost.cells())
