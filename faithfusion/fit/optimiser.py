"""A scene under optimisation: parameters, one Adam per group, density control, and exact save and resume."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from faithfusion.fit.fit_config import OptimiserConfig, RecordingConfig
from faithfusion.fit.ground_loss import ground_loss
from faithfusion.fit.losses import inverse_depth_loss, photometric_loss, sky_alpha_loss
from faithfusion.fit.recording import FittedRecording, Rig
from faithfusion.fit.supervised_view import SupervisedView
from faithfusion.fit.whitened import HARMONICS, THETA, Metric, WhitenedGaussians
from faithfusion.render import Backend
from faithfusion.render.render_view import render_view
from faithfusion.scene.densify import new_statistics, observe, refine
from faithfusion.scene.ground import Ground
from faithfusion.scene.scene_config import DensifyConfig
from faithfusion.scene.scene_file import load_tensors, node_names, save_tensors, scene_from_tensors, scene_tensors
from faithfusion.types import Gaussians, GaussianScene, Rendering, Sky
from faithfusion.utils.progress import say
from faithfusion.utils.seed import make_generator

FIELDS = {"means": "means", "quats": "quats", "scales": "log_scales", "opacities": "opacity_logits", "colors": "colors"}
"""gsplat's parameter names and the fields of `Gaussians` they stand for."""
SSIM_WEIGHT = 0.2
"""Share of 1 - SSIM in the photometric loss (Kerbl et al. 2023, eq. 7)."""
DEPTH_SCALE_M = 10.0
"""Depth at which the depth loss bends from metres to ratios."""
SKY_WEIGHT = 0.05
"""Weight of the loss that keeps Gaussians out of the sky."""
MAX_SKIPPED = 20
"""So many steps in a row may be skipped for a loss that is not finite."""


class SceneOptimiser:
    """Fits a scene one view at a time; `scene()` is the present state, attached to the parameters.

    All rates have decayed after `num_steps`; `extent_m` scales the steps of positions; `seed` places split Gaussians.
    With `recording` what is known about the recording (`rig`) is refined too; without, it stays what the scene brings.
    `ground` is where the loss of `ground_weight` holds Gaussians. With `metric` Gaussians are moved in standard
    deviations of what is known of them (`fit.whitened`); then none may be added or removed.
    """

    def __init__(
        self,
        scene: GaussianScene,
        config: OptimiserConfig,
        *,
        num_steps: int,
        extent_m: float,
        seed: int = 0,
        densify: DensifyConfig | None = None,
        recording: RecordingConfig | None = None,
        rig: Rig | None = None,
        ground: Ground | None = None,
        metric: Metric | None = None,
        backend: Backend = "auto",
    ) -> None:
        if metric is not None and densify is not None:
            raise ValueError("a metric belongs to the Gaussians it was made for: no control of the density beside it")
        self.config, self.densify, self._metric = config, densify, metric
        self.backend: Backend = backend
        self._planned_steps, self._seed = num_steps, seed
        self.num_steps = 0
        self._skipped = 0
        self._recording_config, self._rig = recording, rig
        self._ground = None if ground is None else ground.to(scene.sky.texture.device)
        self._scene_rates = {
            "means": config.means_lr * extent_m,
            "quats": config.quats_lr,
            "scales": config.scales_lr,
            "opacities": config.opacities_lr,
            "colors": config.colors_lr,
            "sky": config.sky_lr,
        }
        self._shares_left = {"means": config.means_lr_end}
        if metric is not None:
            self._scene_rates |= {THETA: metric.rate, HARMONICS: config.colors_lr}
            self._shares_left[THETA] = metric.rate_end
        self._set_parameters(scene)

    def _set_parameters(self, scene: GaussianScene) -> None:
        self._whitened = None if self._metric is None else WhitenedGaussians(scene.gaussians, self._metric.roots)
        self.params = _fields_of(scene.gaussians) if self._whitened is None else self._whitened.parameters()
        self.sky = Parameter(scene.sky.texture.detach().clone())
        self._base, self._recording = scene, None
        self._rates, self._others = dict(self._scene_rates), {"sky": self.sky}
        if self._recording_config is not None and self._rig is not None:
            self._recording = FittedRecording(scene, self._recording_config, self._rig, self.sky.device)
            self._rates |= self._recording.rates
            self._others |= self._recording.parameters
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam([value], lr=self._rates[name], eps=1e-15, fused=True)
            for name, value in {**self.params, **self._others}.items()
        }
        self._statistics = new_statistics(scene.node_ids)

    def scene(self, time_index: int | None = None) -> GaussianScene:
        """The scene as it is now; its tensors are the parameters themselves (`checkpoint.detach_scene` copies). With
        `time_index` it is good for views of that time stamp only."""
        scene = self._unrefined()
        return scene if self._recording is None else self._recording.describe(scene, time_index)

    def _unrefined(self) -> GaussianScene:
        if self._whitened is None:
            gaussians = Gaussians(**{field: self.params[name] for name, field in FIELDS.items()})
        else:
            gaussians = self._whitened.gaussians(self.params)
        node_ids, sky = self._statistics["node_ids"], Sky(self.sky)
        return dataclasses.replace(self._base, gaussians=gaussians, node_ids=node_ids, sky=sky)

    def step(self, view: SupervisedView) -> dict[str, float]:
        """One descent step on one view; the values of the losses. A step whose loss or gradient is not finite changes
        nothing and returns no losses; FloatingPointError after MAX_SKIPPED of them in a row."""
        scene = self.scene(view.time_index)
        camera = view.camera
        if self._recording is not None and view.is_recorded:
            camera = self._recording.camera(camera, view.time_index)
        rendering = render_view(scene, camera, view.time_index, backend=self.backend)
        if self.densify is not None:
            rendering.projection.means2d.retain_grad()
        losses = self._losses(scene, rendering, view)
        total = torch.stack([*losses.values()]).sum()
        if not self._is_sound(total, view):
            return {}
        total.backward()
        if not self._is_sound(total, view):
            return {}
        projection = rendering.projection
        if self.densify is not None and projection.means2d.grad is not None:
            observe(self._statistics, projection.means2d.grad, projection.radii, camera.width, camera.height)
        self._descend()
        self.num_steps += 1
        if self.densify is not None and self.densify.is_due(self.num_steps):
            generator = make_generator(self._seed, "refine", self.num_steps)
            refine(self.params, self.optimizers, self._statistics, self.densify, generator)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _losses(self, scene: GaussianScene, rendering: Rendering, view: SupervisedView) -> dict[str, Tensor]:
        losses = scene_losses(rendering, view, self.config)
        if self._ground is not None and self.config.ground_weight > 0:
            flat = ground_loss(scene.gaussians, scene.node_ids, self._ground)
            losses["ground"] = self.config.ground_weight * flat
        return losses if self._recording is None else losses | self._recording.prior_losses()

    def _descend(self) -> None:
        progress = min(self.num_steps / max(self._planned_steps, 1), 1.0)
        warm = min((self.num_steps + 1) / max(self.config.warmup_steps, 1), 1.0)
        for name, optimizer in self.optimizers.items():
            left = self._shares_left.get(name, self.config.lr_end)
            optimizer.param_groups[0]["lr"] = self._rates[name] * warm * left**progress
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def _is_sound(self, total: Float[Tensor, ""], view: SupervisedView) -> bool:
        bad = [] if bool(torch.isfinite(total)) else ["loss"]
        for name, value in {**self.params, **self._others}.items():
            if value.grad is not None and not bool(torch.isfinite(value.grad.sum())):
                bad.append(f"gradient of {name}")
        if not bad:
            self._skipped = 0
            return True
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        self._skipped += 1
        say(f"step {self.num_steps}, time {view.time_index}: {' and '.join(bad)} not finite, step skipped")
        if self._skipped > MAX_SKIPPED:
            raise FloatingPointError(f"{self._skipped} steps in a row were not finite; the last good state is kept")
        return False

    def save(self, path: Path, key: str) -> None:
        """Everything a later `resume` needs, in one safetensors file; `key` names the run it belongs to."""
        scene = self._unrefined()
        tensors = {f"scene.{name}": tensor for name, tensor in scene_tensors(scene).items()}
        tensors |= {f"other.{name}": value for name, value in self._others.items() if name != "sky"}
        tensors |= {f"statistics.{name}": tensor for name, tensor in self._statistics.items()}
        for name, optimizer in self.optimizers.items():
            for entry, value in optimizer.state[optimizer.param_groups[0]["params"][0]].items():
                tensors[f"adam.{name}.{entry}"] = value
        save_tensors(path, tensors, {"key": key, "num_steps": self.num_steps, **node_names(scene)})

    def resume(self, path: Path, key: str) -> bool:
        """Continues from `save`, bit for bit; False if there is no such file or it belongs to another run."""
        if not path.is_file():
            return False
        tensors, header = load_tensors(path)
        if header.get("key") != key:
            return False
        tensors = {name: tensor.to(self.sky.device) for name, tensor in tensors.items()}
        self._set_parameters(scene_from_tensors(path, _under("scene.", tensors), header))
        for name, value in _under("other.", tensors).items():
            self._others[name].data.copy_(value)
        self._statistics = _under("statistics.", tensors)
        for name, optimizer in self.optimizers.items():
            state = _under(f"adam.{name}.", tensors)
            if state:
                optimizer.state[optimizer.param_groups[0]["params"][0]] = state
        self.num_steps = int(header["num_steps"])
        return True


def scene_losses(rendering: Rendering, view: SupervisedView, config: OptimiserConfig) -> dict[str, Tensor]:
    """The weighted terms of the objective for one rendered view."""
    weight = view.pixel_weight
    colors = photometric_loss(rendering.color, view.image, weight, SSIM_WEIGHT, view.l1_weight)
    losses = {"photometric": colors}
    if view.lidar_depth_m is not None and config.depth_weight > 0:
        depth = inverse_depth_loss(rendering.depth, view.lidar_depth_m, weight, DEPTH_SCALE_M)
        losses["depth"] = config.depth_weight * depth
    if view.sky_mask is not None:
        losses["sky"] = SKY_WEIGHT * sky_alpha_loss(rendering.alpha, view.sky_mask, weight)
    return losses


def _fields_of(gaussians: Gaussians) -> dict[str, Parameter]:
    return {name: Parameter(getattr(gaussians, field).detach().clone()) for name, field in FIELDS.items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
