"""The folder of a finished refinement, made in seconds: a tiny street and its scenes before and after."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import yaml

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.split_config import SplitConfig
from faithfusion.eig.assess import assessment_facts
from faithfusion.eig.calibrate import street_curves
from faithfusion.eig.config import EigConfig
from faithfusion.fit.fit import fit_scene
from faithfusion.fit.fit_config import FitConfig
from faithfusion.scene.scene_config import InitialiseConfig
from faithfusion.scene.scene_file import save_scene
from faithfusion.street.street_config import StreetConfig
from faithfusion.street.writer import make_street
from faithfusion.types import GaussianScene

SPLIT = SplitConfig(held_out_every=0, stretch_frames=0)
STREET = StreetConfig(
    seed=1,
    num_frames=5,
    width=64,
    height=48,
    samples_per_pixel=1,
    lidar_beams=16,
    lidar_columns=120,
    camera_names=("0", "1"),
    shifts_m=(1.0,),
    num_moving_cars=1,
    num_workers=1,
)
FIT = FitConfig(steps=30, half_resolution_steps=10, initialise=InitialiseConfig(max_gaussians=1500, sky_height=16))


def write_tiny_run(folder: Path) -> Path:
    """Writes drive/, config.yaml, scene_calibrated (before, darker) and scene_stage_1.safetensors (after)."""
    make_street(STREET, folder / "drive")
    clip = read_drive(folder / "drive")
    scene, _ = fit_scene(clip, clip.frames, FIT)
    metadata = {"clip": clip.name, **assessment_facts(clip, SPLIT, 2, street_curves(EigConfig()).beside)}
    save_scene(folder / "scene_calibrated.safetensors", darker(scene), metadata)
    save_scene(folder / "scene_stage_1.safetensors", scene, metadata)
    config = {"out": "output/refine", "scene": None, "camera": "1", "num_frames": 0, "eig": {"noise_std": 0.02}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def darker(scene: GaussianScene) -> GaussianScene:
    """The scene with less light, so that before and after can be told apart."""
    gaussians = dataclasses.replace(scene.gaussians, colors=scene.gaussians.colors - 0.5)
    return dataclasses.replace(scene, gaussians=gaussians)
