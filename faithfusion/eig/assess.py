"""How well a fitted scene is known: posterior from the training views, calibration on withheld ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.images import load_blind_mask, load_image, load_sky_mask
from faithfusion.data.movers import uncarried_movers
from faithfusion.data.split_config import SplitConfig
from faithfusion.data.splits import every_nth_of_each_camera, extrapolated, split_clip
from faithfusion.eig.calibrate import Calibration, calibration_from_plain
from faithfusion.eig.config import EigConfig
from faithfusion.eig.field import EigField
from faithfusion.eig.observe import TrainingView
from faithfusion.types import DriveClip, Frame, GaussianScene
from faithfusion.utils.plain import to_plain


def training_view(clip: DriveClip, frame: Frame) -> TrainingView:
    """A recorded frame and the pixels of it that inform the scene: not the ego vehicle, not what the
    lens never saw, not movers without a box."""
    mask = torch.ones(frame.camera.height, frame.camera.width, dtype=torch.bool)
    for hidden in (load_blind_mask(frame), uncarried_movers(clip, frame)):
        if hidden is not None:
            mask &= ~hidden
    return TrainingView(frame.camera, frame.time_index, mask, load_sky_mask(frame), load_image(frame))


class RecordedViews(Sequence[TrainingView]):
    """The training views of frames, read when they are asked for."""

    def __init__(self, clip: DriveClip, frames: Sequence[Frame]) -> None:
        self._clip, self._frames = clip, frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> TrainingView:
        return training_view(self._clip, self._frames[index])


def assess_scene(
    scene: GaussianScene, clip: DriveClip, frames: Sequence[Frame], withheld: Sequence[Frame], config: EigConfig
) -> EigField:
    """What is known after the recorded `frames`, calibrated on the `withheld` ones.

    Those should be whole stretches that the fit has not seen (`data.splits`): frames between fitted neighbours are
    interpolated, and would tell little about a shifted lane.
    """
    return EigField.fit(scene, RecordedViews(clip, frames), config, withheld=RecordedViews(clip, withheld))


def update_assessment(
    scene: GaussianScene, clip: DriveClip, frames: Sequence[Frame], calibration: Calibration, config: EigConfig
) -> EigField:
    """What is known after `frames` of a scene that has changed, or has been shown more, since it was calibrated.

    Raises InputError if the calibration was made for another noise level than `config` names.
    """
    return EigField.fit(scene, RecordedViews(clip, frames), config, calibration=calibration)


def assessment_facts(
    clip: DriveClip, split: SplitConfig, posterior_stride: int, calibration: Calibration, *, settled: bool = False
) -> dict[str, Any]:
    """What `reassess_scene` needs to know again, as JSON data for a scene's metadata. `settled`: the scene has been
    fitted to the withheld stretches since."""
    plan = {"split": to_plain(split), "posterior_stride": posterior_stride, "cameras": list(clip.camera_names)}
    plan |= {"num_frames": clip.num_frames, "settled": settled}
    return {"calibration": calibration.to_plain(), "assessed_on": plan}


def fitted_clip(clip: DriveClip, metadata: dict[str, Any]) -> DriveClip:
    """The part of a drive (cameras, time stamps) that a stored scene was fitted to; the whole if it does not say.

    Raises InputError if the drive lacks a camera or time stamps.
    """
    plan = metadata.get("assessed_on")
    if plan is None:
        return clip
    return read_drive(clip.root, camera_names=tuple(plan["cameras"]), num_frames=plan["num_frames"])


def reassess_scene(
    scene: GaussianScene, metadata: dict[str, Any], fitted: DriveClip, split: SplitConfig, config: EigConfig
) -> EigField:
    """What is known about a stored scene.

    Calibration and frames are those that its metadata name. If they name none, it is calibrated anew on the frames of
    `split`. `fitted`: the drive of `fitted_clip` with its poses as the scene's fit refined them (`scene.fitted_poses`).
    """
    if "calibration" not in metadata:
        frames = split_clip(fitted, split)
        return assess_scene(scene, fitted, frames.train, extrapolated(frames.calibration), config)
    plan = metadata["assessed_on"]
    frames = split_clip(fitted, SplitConfig(**plan["split"]))
    frames = frames.recorded if plan["settled"] else frames.train
    calibration = calibration_from_plain(metadata["calibration"])
    informing = every_nth_of_each_camera(frames, plan["posterior_stride"])
    return update_assessment(scene, fitted, informing, calibration, config)
