"""What a weight may look at beside the rendered and the edited clip, computed when it is first asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.data.splits import every_nth_of_each_camera
from faithfusion.eig.assess import RecordedViews
from faithfusion.eig.published import PublishedInformation, published_gain, published_information
from faithfusion.fit.supervised_view import ViewLoader
from faithfusion.render.render_view import render_view
from faithfusion.types import DriveClip, Frame, GaussianScene, Window
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import track

NUM_RECORDED = 16
"""About so many recorded views, spread over cameras and drive, tell the scene's error."""


@dataclass(frozen=True)
class SceneContext:
    """The scene that is distilled into, its drive, the recorded views that may be fitted, and those of them that inform
    EIG."""

    scene: GaussianScene
    clip: DriveClip
    recorded: ViewLoader
    informing: Sequence[Frame]

    @cached_property
    def recorded_sq_error(self) -> float:
        """The scene's mean squared residual in the recorded images. Raises InputError if there are none."""
        return recorded_sq_error(self.scene, self.recorded)

    @cached_property
    def published_information(self) -> PublishedInformation:
        """What the released code knows after the informing views."""
        with torch.no_grad():
            return published_information(self.scene, RecordedViews(self.clip, self.informing))


@dataclass(frozen=True)
class WeightContext:
    """What is known of one rendered clip of the scene."""

    of_scene: SceneContext
    window: Window

    @property
    def recorded_sq_error(self) -> float:
        """Squared colour error per channel of the scene in the recorded images."""
        return self.of_scene.recorded_sq_error

    @cached_property
    def published_gain(self) -> Float[Tensor, "t h w"]:
        """The released code's gain of every pixel of the clip."""
        scene, information = self.of_scene.scene, self.of_scene.published_information
        places = list(zip(self.window.cameras, self.window.time_indices, strict=True))
        with torch.no_grad():
            gains = [published_gain(scene, information, *at) for at in track(places, "published gain of the new views")]
            return torch.stack([gain.code.cpu() for gain in gains])


@torch.no_grad()
def recorded_sq_error(scene: GaussianScene, recorded: ViewLoader) -> float:
    """Returns the scene's mean squared residual per channel in about `NUM_RECORDED` recorded views, spread over the
    cameras and the drive as those that inform EIG, of the pixels that are fitted. Raises InputError if there are none.
    """
    frames = every_nth_of_each_camera(recorded.frames, max(1, len(recorded) // NUM_RECORDED))
    chosen = ViewLoader(recorded.clip, frames)
    total, count = 0.0, 0.0
    for view in map(chosen.view, range(len(chosen))):
        color = render_view(scene, view.camera, view.time_index).color.clamp(0.0, 1.0).to(view.image)
        total += float(((color - view.image).square().mean(-1) * view.pixel_weight).sum())
        count += float(view.pixel_weight.sum())
    if count == 0:
        raise InputError("distill.weight", "no recorded pixels", "recorded views to weigh the edit against")
    return total / count
