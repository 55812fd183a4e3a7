"""Withheld stretches calibrate EIG first and are fitted then; a stored scene knows which frames informed it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.split_config import SplitConfig
from faithfusion.data.splits import Split, every_nth_of_each_camera, split_clip
from faithfusion.distill.config import DistillConfig
from faithfusion.eig.assess import (
    RecordedViews,
    assess_scene,
    assessment_facts,
    fitted_clip,
    reassess_scene,
    update_assessment,
)
from faithfusion.eig.config import EigConfig
from faithfusion.eig.posterior import fit_posterior
from faithfusion.evaluate.metrics.recorded_frames import score_frames
from faithfusion.fit.fit import fit_scene
from faithfusion.fit.fit_config import FitConfig
from faithfusion.pairs.make import PairsConfig
from faithfusion.pipeline.config import RefineConfig
from faithfusion.pipeline.drive import drive_of
from faithfusion.pipeline.stages import settle
from faithfusion.scene.scene_config import InitialiseConfig
from faithfusion.types import DriveClip, GaussianScene
from faithfusion.utils.errors import InputError

FIT = FitConfig(steps=30, initialise=InitialiseConfig(max_gaussians=200, sky_height=8, num_frames=4))
EIG = EigConfig()


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[DriveClip, Split, GaussianScene]:
    root = write_tiny_clip(tmp_path_factory.mktemp("settle") / "clip", num_frames=12)
    clip = read_drive(root, camera_names=("1",))
    split = split_clip(clip, SplitConfig())
    return clip, split, fit_scene(clip, split.train, FIT)[0]


def test_settling_fits_what_was_withheld(fitted: tuple[DriveClip, Split, GaussianScene]) -> None:
    clip, split, scene = fitted
    assert len(split.calibration) == 2
    drive, config = drive_of(clip, split, FIT.initialise), DistillConfig()
    settled = settle(scene, drive, config, num_steps=30)
    before, after = (score_frames(s, split.calibration)["all"]["psnr_db"] for s in (scene, settled))
    assert after > before + 0.1
    assert settle(scene, drive, config, num_steps=0) is scene
    nothing_withheld = dataclasses.replace(drive, split=dataclasses.replace(split, calibration=()))
    assert settle(scene, nothing_withheld, config, num_steps=30) is scene


@pytest.mark.parametrize("settled", [False, True])
def test_a_stored_scene_is_assessed_on_its_own_cameras_and_frames(
    fitted: tuple[DriveClip, Split, GaussianScene], settled: bool
) -> None:
    clip, split, scene = fitted
    half = every_nth_of_each_camera(split.train, 2)
    calibration = assess_scene(scene, clip, half, split.calibration, EIG).calibration
    frames = every_nth_of_each_camera(split.recorded if settled else split.train, 2)
    expected = update_assessment(scene, clip, frames, calibration, EIG)
    metadata = assessment_facts(clip, SplitConfig(), 2, calibration, settled=settled)
    whole = read_drive(clip.root)
    assert whole.camera_names == ("0", "1")
    part = fitted_clip(whole, metadata)
    assert (part.camera_names, part.num_frames) == (("1",), 12)
    found = reassess_scene(scene, metadata, part, SplitConfig(2, 0), EIG)
    assert found.calibration == calibration
    assert torch.equal(found.posterior.precision, expected.posterior.precision)
    assert fitted_clip(whole, {}) is whole


def test_a_drive_without_the_fitted_camera_is_refused(
    fitted: tuple[DriveClip, Split, GaussianScene], tmp_path: Path
) -> None:
    clip, split, scene = fitted
    metadata = assessment_facts(clip, SplitConfig(), 2, assess_scene(scene, clip, split.train, (), EIG).calibration)
    other = read_drive(write_tiny_clip(tmp_path / "other", camera_names=("0",)))
    with pytest.raises(InputError, match="1"):
        fitted_clip(other, metadata)


def test_recorded_views_are_read_one_by_one(fitted: tuple[DriveClip, Split, GaussianScene]) -> None:
    clip, split, scene = fitted
    views = RecordedViews(clip, split.train[:2])
    assert len(views) == 2
    listed = fit_posterior(scene, [views[0], views[1]], EIG)
    assert torch.equal(fit_posterior(scene, views, EIG).precision, listed.precision)


def test_strides_and_steps_that_make_no_sense_are_refused() -> None:
    for wrong in ({"posterior_stride": 0}, {"settle_steps": -1}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            RefineConfig(**wrong)
    with pytest.raises(InputError, match="posterior_stride"):
        PairsConfig(posterior_stride=0)
