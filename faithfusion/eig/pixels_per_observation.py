"""How many pixels tell as much as one independent observation.

The Laplace posterior adds up pixels as if their errors were independent. They are not: a blurred edge misses in all of
its pixels and in every frame that shows it. So the posterior is too sure of itself by a factor, which is chosen to make
true images beside the recorded path most likely (type II maximum likelihood; MacKay, "Bayesian interpolation", 1992).
"""

from __future__ import annotations

from collections.abc import Sequence

from faithfusion.eig.observe import Evidence, TrainingView
from faithfusion.eig.pixel_gain import eig_map
from faithfusion.eig.posterior import conclude
from faithfusion.types import GaussianScene
from faithfusion.utils.progress import track

LEAST_VARIANCE = (0.5 / 255.0) ** 2
"""Half a step of an 8-bit image: no prediction is taken to be surer."""


def surprise_of_levels(
    scene: GaussianScene, evidence: Evidence, views: Sequence[TrainingView], levels: Sequence[float]
) -> list[float]:
    """For each `pixels_per_observation` of `levels` the mean over the views' pixels of log v + r^2 / v: twice the
    negative log likelihood per channel, up to a constant, of residuals r with the predicted variance v.

    The views must have images.
    """
    return [_mean_surprise(scene, evidence.counted(level), views) for level in track(levels, "noise level")]


def _mean_surprise(scene: GaussianScene, evidence: Evidence, views: Sequence[TrainingView]) -> float:
    posterior = conclude(scene, evidence)
    total, count = 0.0, 0
    for view in views:
        gain, rendering = eig_map(scene, posterior, view.camera, view.time_index)
        variance = gain.predictive_variance.clamp_min(LEAST_VARIANCE)
        assert view.image is not None, "the views must have images"
        sq_residual = (rendering.color.clamp(0.0, 1.0) - view.image.to(rendering.color)).square().mean(-1)
        surprise = (variance.log() + sq_residual / variance)[view.mask.to(variance.device)]
        total, count = total + float(surprise.double().sum()), count + surprise.numel()
    return total / max(count, 1)
