"""Fitting a scene to a recorded drive."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from faithfusion.config import config_hash
from faithfusion.distill.optimiser import OptimiserConfig, SceneOptimiser
from faithfusion.distill.views import ViewLoader, to_device
from faithfusion.scene.checkpoint import detach_scene, scene_to
from faithfusion.scene.densify import DensifyConfig
from faithfusion.scene.initialise import InitialiseConfig, initialise_scene
from faithfusion.types import DriveClip, Frame, GaussianScene
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say, track
from faithfusion.utils.seed import make_generator

MIN_EXTENT_M = 10.0
"""Extent of a drive that hardly moves."""


@dataclass(frozen=True)
class FitConfig:
    """How a scene is fitted to a drive.

    Attributes:
        steps: Descent steps, one view each.
        half_resolution_steps: Of these, the first ones that see images at half the resolution.
        checkpoint_every: Steps between two checkpoints from which a killed run continues.
        device: Where to fit: "auto" is CUDA if there is a device.
        seed: Seed of the order of views.
        initialise: The first Gaussians.
        optimise: Learning rates and losses; `decay_steps` is set to `steps`.
        densify: Density control.
    """

    steps: int = 700
    half_resolution_steps: int = 250
    checkpoint_every: int = 250
    device: str = "auto"
    seed: int = 0
    initialise: InitialiseConfig = field(default_factory=InitialiseConfig)
    optimise: OptimiserConfig = field(default_factory=OptimiserConfig)
    densify: DensifyConfig = field(default_factory=DensifyConfig)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.checkpoint_every < 1:
            found = f"steps = {self.steps}, checkpoint_every = {self.checkpoint_every}"
            raise InputError("fit", found, "positive numbers of steps")


@dataclass(frozen=True)
class FitLog:
    """Losses of every step since the fit was (re)started, and what it took."""

    losses: tuple[dict[str, float], ...]
    num_gaussians: int
    seconds: float
    resumed_at: int


def fit_scene(
    clip: DriveClip, train_frames: Sequence[Frame], config: FitConfig, *, state_path: Path | None = None
) -> tuple[GaussianScene, FitLog]:
    """Initialises a scene from the clip and fits it to `train_frames`.

    With `state_path` the state is written there every `checkpoint_every` steps; a killed run continues from it and ends
    with the same scene. The result lies on the CPU, without autograd history.
    """
    start_s = time.monotonic()
    key = config_hash(config, clip.name, [frame.image_path.name for frame in train_frames])
    loader = ViewLoader(clip, train_frames)
    optimiser = SceneOptimiser(
        scene_to(initialise_scene(clip, train_frames, config.initialise), choose_device(config.device)),
        dataclasses.replace(config.optimise, decay_steps=config.steps),
        extent_m=drive_extent_m(train_frames),
        densify=config.densify,
    )
    if state_path is not None and optimiser.resume(state_path, key):
        say(f"{clip.name}: resumed at step {optimiser.num_steps}")
    resumed_at = optimiser.num_steps
    losses = []
    for step in track(range(resumed_at, config.steps), f"fit {clip.name}"):
        view = loader.view(view_order(len(loader), step, config.seed), half=step < config.half_resolution_steps)
        losses.append(optimiser.step(to_device(view, optimiser.sky.device)))
        if state_path is not None and (step + 1) % config.checkpoint_every == 0:
            optimiser.save(state_path, key)
    scene = scene_to(detach_scene(optimiser.scene()), "cpu")
    return scene, FitLog(tuple(losses), scene.gaussians.num, time.monotonic() - start_s, resumed_at)


def view_order(num_views: int, step: int, seed: int) -> int:
    """The view of a step: every epoch is a permutation of its own, the same however often the fit was interrupted."""
    epoch, place = divmod(step, num_views)
    return int(torch.randperm(num_views, generator=make_generator(seed, "view order", epoch))[place])


def drive_extent_m(frames: Sequence[Frame]) -> float:
    """1.1 times the largest distance of a camera from the middle of all, as in 3DGS; the scale of position steps."""
    centres = torch.stack([frame.camera.world_from_camera[:3, 3] for frame in frames])
    return max(1.1 * float((centres - centres.mean(0)).norm(dim=-1).max()), MIN_EXTENT_M)


def choose_device(name: str) -> torch.device:
    """ "auto" is CUDA if there is a device."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise InputError("device", name, f"auto, cpu or cuda ({str(error).splitlines()[0]})") from None
