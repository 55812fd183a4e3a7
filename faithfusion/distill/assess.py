"""How well a fitted scene is known: posterior from the training views, calibration on the views kept back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from faithfusion.data.images import load_dynamic_mask, load_ego_mask, load_image, load_sky_mask
from faithfusion.data.trajectories import shifted_cameras
from faithfusion.eig.calibrate import Calibration, calibration_bins, fit_calibration
from faithfusion.eig.pixel_gain import eig_map
from faithfusion.eig.posterior import EigConfig, Posterior, TrainingView, fit_posterior
from faithfusion.eig.volume import eig_volume
from faithfusion.types import DriveClip, Frame, GaussianScene, Window
from faithfusion.utils.progress import track


@dataclass(frozen=True)
class Assessment:
    """What is known about a scene."""

    posterior: Posterior
    calibration: Calibration


def training_view(clip: DriveClip, frame: Frame) -> TrainingView:
    """The pixels of a recorded frame that inform the scene: not the ego vehicle, not movers without a box."""
    mask = torch.ones(frame.camera.height, frame.camera.width, dtype=torch.bool)
    for hidden in (load_ego_mask(frame), None if clip.tracks else load_dynamic_mask(frame)):
        if hidden is not None:
            mask &= ~hidden
    return TrainingView(frame.camera, frame.time_index, mask, load_sky_mask(frame))


def scene_posterior(scene: GaussianScene, clip: DriveClip, frames: Sequence[Frame], config: EigConfig) -> Posterior:
    """The posterior after the recorded `frames`."""
    return fit_posterior(scene, [training_view(clip, frame) for frame in frames], config)


def calibrate_scene(
    scene: GaussianScene, posterior: Posterior, clip: DriveClip, held_out: Sequence[Frame], config: EigConfig
) -> Calibration:
    """EIG of the frames kept back against the render's true error there."""
    bins = None
    for frame in track(held_out, "calibrate EIG"):
        gain, rendering = eig_map(scene, posterior, frame.camera, frame.time_index, config)
        mask = training_view(clip, frame).mask
        sq_error = (rendering.color - load_image(frame)).square().mean(-1)
        counted = calibration_bins(gain.eig_nats[mask], sq_error[mask])
        bins = counted if bins is None else bins + counted
    return fit_calibration(bins, config)


def shifted_window(
    scene: GaussianScene, assessment: Assessment, clip: DriveClip, camera_name: str, shift_m: float, config: EigConfig
) -> Window:
    """Render, EIG volume and references of one camera's clip driven `shift_m` metres to the left."""
    cameras = shifted_cameras(clip, camera_name, shift_m)
    times = list(range(clip.num_frames))
    eig, renders, depths = eig_volume(scene, assessment.posterior, assessment.calibration, cameras, times, config)
    references = [load_image(clip.frame(t, camera_name)) for t in (0, clip.num_frames // 2, clip.num_frames - 1)]
    return Window(
        render=renders, eig=eig, depth=depths, references=torch.stack(references), known=torch.zeros(len(times)).bool()
    )
