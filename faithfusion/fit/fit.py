"""Fitting a scene to a recorded drive."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from faithfusion.data.fingerprint import drive_fingerprint
from faithfusion.fit.budget import affordable_gaussians
from faithfusion.fit.fit_config import FitConfig
from faithfusion.fit.optimiser import SceneOptimiser
from faithfusion.fit.recording import rig_of
from faithfusion.fit.supervised_view import ViewLoader, to_device
from faithfusion.scene.drive_lidar import DriveLidar
from faithfusion.scene.initialise import initialise_scene
from faithfusion.scene.scene_file import detach_scene, scene_to
from faithfusion.types import DriveClip, Frame, GaussianScene
from faithfusion.utils.device import choose_device
from faithfusion.utils.plain import config_hash
from faithfusion.utils.progress import say, track
from faithfusion.utils.seed import make_generator

MIN_EXTENT_M, MAX_EXTENT_M = 10.0, 30.0
"""Extent of a drive that hardly moves, and of one that is long: a longer street is not a deeper one."""
READERS_FOR_CUDA = 4
"""Threads that read views ahead for a GPU, whose steps take less time than decoding a large picture; on a CPU a step
takes far longer and threads would only compete with it."""


@dataclass(frozen=True)
class FitLog:
    """Losses and seconds of every step since the fit was (re)started, and what it took in all."""

    losses: tuple[dict[str, float], ...]
    step_seconds: tuple[float, ...]
    num_gaussians: int
    seconds: float
    resumed_at: int


def fit_scene(
    clip: DriveClip,
    train_frames: Sequence[Frame],
    config: FitConfig,
    *,
    seed: int = 0,
    device: str = "auto",
    lidar: DriveLidar | None = None,
    state_path: Path | None = None,
) -> tuple[GaussianScene, FitLog]:
    """Initialises a scene from the clip and fits it to `train_frames`.

    `device`: "auto" is CUDA if there is a device. `lidar`: of the clip, if other stages use it too. With `state_path`
    the state is written there every `checkpoint_every` steps; a killed run continues from it and ends with the same
    scene. The result lies on the CPU, without autograd history.
    """
    start_s = time.monotonic()
    key = config_hash(config, seed, clip.name, drive_fingerprint(clip, train_frames))
    loader = ViewLoader(clip, train_frames, cache_mb=config.cache_mb)
    lidar = lidar or DriveLidar(clip, config.initialise.max_dense_points, seed)
    optimiser = _start(lidar, train_frames, within_memory(config, train_frames), seed, choose_device(device))
    if state_path is not None and optimiser.resume(state_path, key):
        say(f"{clip.name}: resumed at step {optimiser.num_steps}")
    resumed_at = optimiser.num_steps
    steps = range(resumed_at, config.steps)
    requests = ((view_order(len(loader), step, seed), step < config.half_resolution_steps) for step in steps)
    num_ahead = READERS_FOR_CUDA if optimiser.sky.device.type == "cuda" else 0
    views = loader.stream(requests, num_ahead=num_ahead)
    losses, ends_s = [], [time.monotonic()]
    for step, view in zip(track(steps, f"fit {clip.name}"), views, strict=True):
        losses.append(optimiser.step(to_device(view, optimiser.sky.device)))
        if state_path is not None and (step + 1) % config.checkpoint_every == 0:
            optimiser.save(state_path, key)
        ends_s.append(time.monotonic())
    scene = scene_to(detach_scene(optimiser.scene()), "cpu")
    step_seconds = tuple(end - start for start, end in itertools.pairwise(ends_s))
    return scene, FitLog(tuple(losses), step_seconds, scene.gaussians.num, time.monotonic() - start_s, resumed_at)


def within_memory(config: FitConfig, train_frames: Sequence[Frame]) -> FitConfig:
    """The configuration with as many Gaussians as `max_memory_gib` allows. Raises InputError if that is too little."""
    if config.max_memory_gib == 0:
        return config
    pixels = max(frame.camera.width * frame.camera.height for frame in train_frames)
    coefficients = (config.initialise.sh_degree + 1) ** 2
    room = affordable_gaussians(config.max_memory_gib, pixels, config.cache_mb, coefficients)
    if room >= max(config.densify.max_gaussians, config.initialise.max_gaussians):
        return config
    say(f"at most {room} Gaussians fit into {config.max_memory_gib:g} GiB")
    initialise = dataclasses.replace(config.initialise, max_gaussians=min(config.initialise.max_gaussians, room))
    densify = dataclasses.replace(config.densify, max_gaussians=min(config.densify.max_gaussians, room))
    return dataclasses.replace(config, initialise=initialise, densify=densify)


def _start(
    lidar: DriveLidar, train_frames: Sequence[Frame], config: FitConfig, seed: int, device: torch.device
) -> SceneOptimiser:
    cloud, ground = lidar.cloud(train_frames), lidar.ground(train_frames)
    scene = initialise_scene(lidar.clip, train_frames, config.initialise, lidar=cloud, ground=ground, seed=seed)
    return SceneOptimiser(
        scene_to(scene, device),
        config.optimise,
        num_steps=config.steps,
        seed=seed,
        extent_m=drive_extent_m(train_frames),
        densify=config.densify,
        recording=config.recording,
        rig=rig_of(lidar.clip),
        ground=ground,
    )


def view_order(num_views: int, step: int, seed: int) -> int:
    """The view of a step: every epoch is a permutation of its own, the same however often the fit was interrupted."""
    epoch, place = divmod(step, num_views)
    return int(torch.randperm(num_views, generator=make_generator(seed, "view order", epoch))[place])


def drive_extent_m(frames: Sequence[Frame]) -> float:
    """The scale of position steps: `cameras_extent_m` within bounds."""
    return min(max(cameras_extent_m(frames), MIN_EXTENT_M), MAX_EXTENT_M)


def cameras_extent_m(frames: Sequence[Frame]) -> float:
    """1.1 times the largest distance of a camera from the middle of all, as in 3DGS."""
    centres = torch.stack([frame.camera.world_from_camera[:3, 3] for frame in frames])
    return 1.1 * float((centres - centres.mean(0)).norm(dim=-1).max())
