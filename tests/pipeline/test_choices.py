from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import write_tiny_clip

from faithfusion.config import parse_config
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.kitti.kitti_config import KittiConfig
from faithfusion.data.kitti.prepare_raw import prepare_kitti
from faithfusion.fit.fit_config import FitConfig
from faithfusion.pipeline.choices import choose, lines_of, load_choices, save_choices, with_choices
from faithfusion.pipeline.config import RefineConfig
from faithfusion.types import DriveClip
from faithfusion.utils.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def chosen(clip: DriveClip) -> dict[str, object]:
    return {choice.option.removeprefix("fit."): choice.value for choice in choose(clip)}


def configured(*argv: str) -> RefineConfig:
    return with_choices(parse_config(RefineConfig, list(argv)), list(argv))[0]


def test_both_recorded_drives_get_the_fit_that_was_tuned_by_hand(shared_data: Path, tmp_path: Path) -> None:
    raw = shared_data / "kitti_raw" / "2011_09_26" / "2011_09_26_drive_0027_sync"
    prepare_kitti(raw, tmp_path / "drive", KittiConfig())
    tuned = parse_config(FitConfig, ["--config", str(ROOT / "configs/scene/kitti.yaml")])
    for argv in (["--scene", str(shared_data / "kitti_0001")], ["--scene", str(tmp_path / "drive"), "--num_frames=33"]):
        assert configured(*argv).fit == tuned  # a stereo pair looks one way, as one camera does
        assert configured(*argv, "--cameras", "0").fit == tuned


def test_a_procedural_street_keeps_the_defaults(tmp_path: Path) -> None:
    drive = write_tiny_clip(tmp_path / "drive", optional=False)
    (drive / "truth" / "+3.00m").mkdir(parents=True)
    assert choose(read_drive(drive)) == ()
    assert with_choices(RefineConfig(), []) == (RefineConfig(), ())
    assert configured("--scene", str(drive)) == RefineConfig(scene=str(drive))


def test_what_the_user_gives_wins_and_is_not_said_to_be_chosen(tmp_path: Path) -> None:
    argv = ["--scene", str(write_tiny_clip(tmp_path / "drive", optional=False))]
    argv += ["--fit.steps", "1000", "--fit.recording.rig_poses", "null", "--fit.initialise.sky_height", "64"]
    config, choices = with_choices(parse_config(RefineConfig, argv), argv)
    assert config.fit.steps == 1000 and config.fit.recording.rig_poses is None
    assert config.fit.initialise.sky_height == 64 and config.fit.half_resolution_steps == 300
    options = {choice.option for choice in choices}
    assert not options & {"fit.steps", "fit.initialise.sky_height", "fit.recording.rig_poses.knot_frames"}
    assert "fit.optimise.means_lr" in options
    save_choices(tmp_path, choices)
    assert load_choices(tmp_path) == choices and load_choices(tmp_path / "elsewhere") == ()
    assert with_choices(dataclasses.replace(config, gaussians="scene.ply"), argv)[1] == ()  # nothing is fitted
    (line,) = (line for line in lines_of(choices) if "colors_lr" in line)
    assert line.startswith("Chosen for this drive: fit.densify.stop_step = 700, fit.optimise.means_lr = 0.0006")
    assert line.endswith("(2 cameras look one way, and faster rates cost nothing beside the path).")
    with pytest.raises(InputError):
        configured("--scene", str(tmp_path / "nowhere"))


def test_every_choice_follows_what_the_drive_has(tmp_path: Path) -> None:
    plain = chosen(read_drive(write_tiny_clip(tmp_path / "masked")))
    assert not {"initialise.sky_height", "initialise.far_fraction"} & plain.keys()
    assert (plain["densify.max_gaussians"], plain["initialise.max_gaussians"]) == (60_000, 36_000)
    bare = read_drive(write_tiny_clip(tmp_path / "bare", optional=False, num_frames=9))
    assert chosen(bare)["initialise.sky_height"] == 256 and "initialise.far_fraction" not in chosen(bare)  # no LiDAR

    slow = dataclasses.replace(bare, frame_rate_hz=2.0)
    assert [chosen(clip)["recording.rig_poses.knot_frames"] for clip in (bare, slow)] == [2, 1]
    poses = bare.world_from_ego.clone()
    poses[:, :3, 3] *= 20.0  # 8 m become 160 m
    long = chosen(dataclasses.replace(bare, world_from_ego=poses))
    assert (long["densify.max_gaussians"], long["initialise.max_gaussians"]) == (160_000, 96_000)

    turned = bare.frame(0, "1")
    pose = turned.camera.world_from_camera.clone()
    pose[:3, [0, 2]] = torch.stack([-pose[:3, 2], pose[:3, 0]], -1)  # looks to the right
    turned = dataclasses.replace(turned, camera=dataclasses.replace(turned.camera, world_from_camera=pose))
    rig = dataclasses.replace(bare, frames=(bare.frames[0], turned, *bare.frames[2:]))
    assert "steps" in chosen(bare) and not {"steps", "optimise.means_lr"} & chosen(rig).keys()


def test_large_pictures_and_changing_light(tmp_path: Path) -> None:
    drive = write_tiny_clip(tmp_path / "large", width=640, height=400, camera_names=("0",), optional=False)
    for odd, changes in ((195, False), (160, True)):
        for t in range(6):
            picture = np.full((400, 640, 3), odd if t % 2 else 200, np.uint8)
            Image.fromarray(picture).save(drive / "images" / f"{t:03d}_0.jpg", quality=95)
        found = chosen(read_drive(drive))
        assert found["half_resolution_steps"] == 600
        assert found["recording.exposure.knot_frames"] == (2 if changes else 5)
