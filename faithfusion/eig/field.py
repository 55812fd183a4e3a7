"""`EigField`: what is known about a scene of Gaussians, and what new views would tell about it, behind one class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.eig.calibrate import Calibration, CalibrationBins, calibration_bins, fit_calibration
from faithfusion.eig.config import EigConfig
from faithfusion.eig.field_file import load_knowledge, save_knowledge
from faithfusion.eig.observe import TrainingView
from faithfusion.eig.pixel_gain import eig_map
from faithfusion.eig.posterior import Posterior, fit_posterior
from faithfusion.eig.rank import Candidate, RankedView, rank_views, select_views
from faithfusion.eig.variance_polynomials import posterior_roots
from faithfusion.types import Camera, EigMap, EigVolume, GaussianScene, Rendering
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import track


@dataclass(frozen=True)
class EigField:
    """A scene, its posterior after the views that informed it, and its calibration.

        field = EigField.fit(scene, [whole_view(camera, image=image) for camera, image in photos])
        eig, rendering = field.map(new_camera)  # eig.eig_nats: [H, W]

    Everything is computed under the configuration that the field was fitted with (`config`). Raises InputError if the
    calibration belongs to another one.
    """

    scene: GaussianScene
    posterior: Posterior
    calibration: Calibration

    def __post_init__(self) -> None:
        for name in ("noise_std", "pixels_per_observation"):
            found, fitted = getattr(self.calibration, name), getattr(self.config, name)
            if abs(found / fitted - 1.0) > 1e-6:
                raise InputError(f"eig.{name}", fitted, f"the calibration's {found}")

    @classmethod
    def fit(
        cls,
        scene: GaussianScene,
        views: Sequence[TrainingView],
        config: EigConfig | None = None,
        *,
        withheld: Sequence[TrainingView] = (),
        calibration: Calibration | None = None,
    ) -> EigField:
        """What is known after `views`, which are read one at a time. The scene stays where it is, on CPU or GPU.

        `withheld`: views with images that the scene was not fitted to; how wrong its renders are there calibrates the
        expected error. Without them the curves of procedural streets hold. A `calibration` that is known already is
        taken as it is. `config`: noise and prior, by default `EigConfig()`. Raises InputError without views, if a mask
        or an image does not have its camera's size, and for withheld views without images.
        """
        if not len(views):
            raise InputError("views", "none", "at least one that informs the scene")
        posterior = fit_posterior(scene, views, config or EigConfig())
        if calibration is None:
            calibration = fit_calibration(withheld_bins(scene, posterior, withheld), posterior.config)
        return cls(scene, posterior, calibration)

    @property
    def config(self) -> EigConfig:
        """Noise and prior that the posterior was fitted with."""
        return self.posterior.config

    @cached_property
    def roots(self) -> Float[Tensor, "n 91"] | None:
        """Roots of the posterior's covariances, made once for all maps (`variance_polynomials.posterior_roots`)."""
        return posterior_roots(self.scene, self.posterior)

    def map(self, camera: Camera, time_index: int = 0) -> tuple[EigMap, Rendering]:
        """EIG of every pixel of a view in nats, and the rendering it belongs to, on the scene's device.

        A pixel without Gaussians under an unseen sky direction has the prior variance of a colour. No gradients.
        """
        return eig_map(self.scene, self.posterior, camera, time_index, roots=self.roots)

    def expected_error(
        self, camera: Camera, time_index: int = 0, *, distance_m: float | None = None
    ) -> Float[Tensor, "h w"]:
        """Root mean square error of the render to expect at every pixel, per channel, colours in [0, 1].

        `distance_m`: of the camera from the recorded path; by default from the nearest camera that informed the scene.
        """
        distance_m = self.distance_m(camera) if distance_m is None else distance_m
        return self.calibration.expected_sq_error(self.map(camera, time_index)[0].eig_nats, distance_m).sqrt()

    def volume(
        self,
        cameras: Sequence[Camera],
        time_indices: Sequence[int] | None = None,
        distances_m: Sequence[float] | None = None,
    ) -> tuple[EigVolume, Float[Tensor, "t h w 3"], Float[Tensor, "t h w"]]:
        """EIG, renders in [0, 1] and depths (metres, 0 = nothing) of a trajectory, all on the CPU.

        Time stamps are 0 if none are given, distances from the recorded path as in `expected_error`. Raises InputError
        if cameras, time stamps and distances do not pair up or the cameras differ in size.
        """
        sizes = {(camera.height, camera.width) for camera in cameras}
        time_indices = [0] * len(cameras) if time_indices is None else time_indices
        distances_m = [self.distance_m(camera) for camera in cameras] if distances_m is None else distances_m
        if not len(cameras) == len(time_indices) == len(distances_m) or len(sizes) != 1:
            found = f"{len(cameras)} cameras of sizes {sorted(sizes)}, {len(time_indices)} time stamps"
            raise InputError("EIG volume", found, "as many cameras as time stamps and distances, of one size")
        frames = []
        trajectory = list(zip(cameras, time_indices, distances_m, strict=True))
        for camera, time_index, distance_m in track(trajectory, "EIG volume"):
            gain, rendering = self.map(camera, time_index)
            expected = self.calibration.expected_sq_error(gain.eig_nats, distance_m)
            images = (gain.eig_nats, expected, gain.alpha, rendering.color.clamp(0.0, 1.0), rendering.depth)
            frames.append(tuple(image.cpu() for image in images))
        eig, expected, alpha, color, depth = (torch.stack(images) for images in zip(*frames, strict=True))
        return EigVolume(eig_nats=eig, expected_sq_error=expected, alpha=alpha), color, depth

    def rank(self, views: Sequence[Camera | Candidate], count: int | None = None) -> list[RankedView]:
        """Where to look next: the `count` views that together tell most, chosen greedily; all of them, each judged by
        itself, if `count` is None.

        A bare camera is a candidate at time stamp 0, named by its position in `views`. Raises InputError without views,
        for count < 1 and for one above the number of views.
        """
        candidates = [
            Candidate(str(index), view, 0, 0.0) if isinstance(view, Camera) else view
            for index, view in enumerate(views)
        ]
        if count is None:
            return rank_views(self.scene, self.posterior, candidates)
        if count > len(candidates) > 0:
            raise InputError("number of views", count, f"at most the {len(candidates)} there are")
        return select_views(self.scene, self.posterior, candidates, count)

    def distance_m(self, camera: Camera) -> float:
        """From the nearest camera that informed the scene, in the scene's unit; infinite if none did."""
        viewpoints = self.posterior.viewpoints
        if not len(viewpoints):
            return float("inf")
        return float((viewpoints - camera.world_from_camera[:3, 3].to(viewpoints)).norm(dim=-1).min())

    def save(self, path: Path | str) -> None:
        """Writes scene, posterior, configuration and calibration as one safetensors file, whole or not at all."""
        save_knowledge(Path(path), self.scene, self.posterior, self.calibration)

    @classmethod
    def load(cls, path: Path | str, device: torch.device | str = "cpu") -> EigField:
        """The field of `save`, on `device`. Raises InputError if the file is missing, damaged or something else."""
        return cls(*load_knowledge(Path(path), device))


def withheld_bins(scene: GaussianScene, posterior: Posterior, views: Sequence[TrainingView]) -> CalibrationBins | None:
    """EIG against the squared error of the render over the pixels of `views`; None without views.

    Raises InputError for a view without an image.
    """
    bins = None
    roots = posterior_roots(scene, posterior)
    for view in track(views, "calibrate EIG"):
        if view.image is None:
            raise InputError(f"withheld view of time index {view.time_index}", "no image", "one to compare with")
        gain, rendering = eig_map(scene, posterior, view.camera, view.time_index, roots=roots)
        sq_error = (rendering.color.clamp(0.0, 1.0) - view.image.to(rendering.color)).square().mean(-1)
        mask = view.mask.to(sq_error.device)
        counted = calibration_bins(gain.eig_nats[mask], sq_error[mask])
        bins = counted if bins is None else bins + counted
    return bins
