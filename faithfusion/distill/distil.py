"""The distillation: an edited clip pulled back into the Gaussians."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.distill.config import DistillConfig
from faithfusion.distill.schedule import plan_views
from faithfusion.eig.field import EigField
from faithfusion.eig.step_roots import limited_roots, step_roots
from faithfusion.fit.fit import drive_extent_m
from faithfusion.fit.fit_config import OptimiserConfig
from faithfusion.fit.optimiser import SceneOptimiser
from faithfusion.fit.supervised_view import SupervisedView, ViewLoader, to_device
from faithfusion.fit.whitened import Metric
from faithfusion.scene.ground import Ground
from faithfusion.scene.scene_file import detach_scene, scene_to
from faithfusion.types import Frame, GaussianScene
from faithfusion.utils.device import choose_device
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import track
from faithfusion.utils.seed import make_generator

OPTIMISE = OptimiserConfig(warmup_steps=30)
"""Learning rates and losses of every distillation: those of the fit, but with a warm-up."""
METRIC_RATE, METRIC_RATE_END = 0.1, 0.1
"""The learning rate in the metric of the posterior, in standard deviations, and the share of it that is left at the
end."""
AT_ONCE = 16384
"""So many Gaussians are compared with all cameras at once, which bounds memory."""
MOST_OF_DISTANCE = 0.1
"""A Gaussian's position counts as known to this share of its distance from the nearest recorded camera, even if the
recorded views leave it more: a blob of the horizon, as uncertain as it is large, must not come to stand before a
camera."""


def distill(
    scene: GaussianScene,
    recorded: ViewLoader,
    novel: Sequence[SupervisedView],
    config: DistillConfig,
    *,
    ground: Ground | None,
    known: EigField | None = None,
    name: str = "distil",
    chance: object = 0.0,
    seed: int = 0,
    device: str = "auto",
) -> GaussianScene:
    """Fits the scene to the edited views while the recorded ones keep being fitted (equation L_novel of the paper).

    `ground` is where Gaussians near the road are held; `name` labels the progress; `chance` and `seed` decide which
    view is drawn in which step. `known`: what the recorded views tell of this very scene, for the metric "posterior".
    The result lies where `scene` lay. Raises InputError for that metric without `known`.
    """
    at = choose_device(device)
    optimiser = SceneOptimiser(
        scene_to(scene, at),
        OPTIMISE,
        num_steps=config.schedule.steps_per_stage,
        seed=seed,
        extent_m=drive_extent_m(recorded.frames),
        ground=ground,
        metric=_metric(known, recorded.frames, at) if config.metric == "posterior" else None,
    )
    random = make_generator(seed, "distill", chance)
    plan = list(plan_views(config.schedule, len(recorded), len(novel), random))
    for planned in track(plan, name):
        view = recorded.view(planned.index) if planned.is_original else novel[planned.index]
        optimiser.step(to_device(view, optimiser.sky.device))
    return scene_to(detach_scene(optimiser.scene()), scene.gaussians.means.device)


def _metric(known: EigField | None, recorded: Sequence[Frame], device: torch.device) -> Metric:
    if known is None:
        found = "posterior, without what is known of the scene"
        raise InputError("distill.metric", found, "an EigField of the scene, or the metric parameters")
    roots = limited_roots(step_roots(known), MOST_OF_DISTANCE * distances_m(known.scene, recorded))
    return Metric(roots.to(device), METRIC_RATE, METRIC_RATE_END)


def distances_m(scene: GaussianScene, frames: Sequence[Frame]) -> Float[Tensor, " n"]:
    """From every Gaussian of the background to the nearest camera; infinite for those of moving objects."""
    centres = torch.stack([frame.camera.world_from_camera[:3, 3] for frame in frames]).to(scene.gaussians.means)
    means = scene.gaussians.means.detach()
    nearest = torch.cat([torch.cdist(part, centres).amin(1) for part in means.split(AT_ONCE)])
    return torch.where(scene.node_ids == 0, nearest, torch.inf)
