"""The metric of the distillation: what it needs, and that it leads somewhere, always to the same place."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.distill.config import DistillConfig, ScheduleConfig
from faithfusion.distill.distil import distances_m, distill
from faithfusion.eig.assess import RecordedViews
from faithfusion.eig.config import EigConfig
from faithfusion.eig.field import EigField
from faithfusion.evaluate.metrics.recorded_frames import score_frames
from faithfusion.fit.supervised_view import ViewLoader, load_view
from faithfusion.pipeline.config import RefineConfig
from faithfusion.scene.initialise import initialise_scene
from faithfusion.scene.scene_config import InitialiseConfig
from faithfusion.scene.scene_file import scene_tensors
from faithfusion.utils.errors import InputError

CONFIG = DistillConfig(metric="posterior", schedule=ScheduleConfig(steps_per_stage=30))


def test_the_posterior_moves_the_scene_to_new_views_and_always_alike(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "clip", num_frames=5))
    scene = initialise_scene(clip, clip.frames, InitialiseConfig(max_gaussians=200, sky_height=8, num_frames=4))
    recorded, novel = ViewLoader(clip, clip.frames[:4]), [load_view(clip, frame) for frame in clip.frames[4:]]
    known = EigField.fit(scene, RecordedViews(clip, clip.frames[:4]))
    first, second = (distill(scene, recorded, novel, CONFIG, ground=None, known=known) for _ in range(2))
    before, after = (score_frames(of, clip.frames)["all"]["psnr_db"] for of in (scene, first))
    assert after > before + 0.5
    for name, tensor in scene_tensors(first).items():
        assert torch.equal(tensor, scene_tensors(second)[name]), name
    with pytest.raises(InputError, match="distill.metric.*posterior, without"):
        distill(scene, recorded, novel, CONFIG, ground=None)


def test_distances_are_those_to_the_nearest_camera(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "clip", num_frames=5))
    scene = initialise_scene(clip, clip.frames, InitialiseConfig(max_gaussians=40, sky_height=8, num_frames=4))
    node_ids = torch.zeros(scene.gaussians.num, dtype=torch.long)
    node_ids[::3] = 1
    found = distances_m(dataclasses.replace(scene, node_ids=node_ids), clip.frames)
    for number, (mean, distance_m) in enumerate(zip(scene.gaussians.means, found, strict=True)):
        each = [float((mean - frame.camera.world_from_camera[:3, 3]).norm()) for frame in clip.frames]
        assert float(distance_m) == (float("inf") if number % 3 == 0 else pytest.approx(min(each), rel=1e-4))


@pytest.mark.parametrize("wrong", [{"metric": "prior"}, {"novel_weight": -1.0}, {"novel_weight": float("inf")}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"distill.{next(iter(wrong))}"):
        dataclasses.replace(CONFIG, **wrong)


def test_a_diagonal_posterior_is_no_metric() -> None:
    with pytest.raises(InputError, match="distill.metric.*diag"):
        RefineConfig(distill=CONFIG, eig=EigConfig(posterior="diag"))
    RefineConfig(distill=dataclasses.replace(CONFIG, metric="parameters"), eig=EigConfig(posterior="diag"))
