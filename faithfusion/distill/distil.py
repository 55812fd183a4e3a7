"""The distillation: an edited clip pulled back into the Gaussians."""

from __future__ import annotations

from collections.abc import Sequence

from faithfusion.distill.config import DistillConfig
from faithfusion.distill.schedule import plan_views
from faithfusion.fit.fit import drive_extent_m
from faithfusion.fit.optimiser import SceneOptimiser
from faithfusion.fit.supervised_view import SupervisedView, ViewLoader, to_device
from faithfusion.scene.ground import Ground
from faithfusion.scene.scene_file import detach_scene, scene_to
from faithfusion.types import GaussianScene
from faithfusion.utils.device import choose_device
from faithfusion.utils.progress import track
from faithfusion.utils.seed import make_generator


def distill(
    scene: GaussianScene,
    recorded: ViewLoader,
    novel: Sequence[SupervisedView],
    config: DistillConfig,
    *,
    ground: Ground | None,
    name: str = "distil",
    chance: object = 0.0,
    seed: int = 0,
    device: str = "auto",
) -> GaussianScene:
    """Fits the scene to the edited views while the recorded ones keep being fitted (equation L_novel of the paper).

    `ground` is where Gaussians near the road are held; `name` labels the progress; `chance` and `seed` decide which
    view is drawn in which step. The result lies where `scene` lay.
    """
    optimiser = SceneOptimiser(
        scene_to(scene, choose_device(device)),
        config.optimise,
        num_steps=config.schedule.steps_per_stage,
        seed=seed,
        extent_m=drive_extent_m(recorded.frames),
        ground=ground if config.optimise.ground_weight > 0 else None,
    )
    random = make_generator(seed, "distill", chance)
    plan = list(plan_views(config.schedule, len(recorded), len(novel), random))
    for planned in track(plan, name):
        view = recorded.view(planned.index) if planned.is_original else novel[planned.index]
        optimiser.step(to_device(view, optimiser.sky.device))
    return scene_to(detach_scene(optimiser.scene()), scene.gaussians.means.device)
