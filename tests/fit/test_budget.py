"""The ceiling on memory: fewer Gaussians for less memory, refused where nothing fits, and kept by a fit."""

import dataclasses
from pathlib import Path

import pytest
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.fit.budget import GIB, affordable_gaussians, bytes_per_gaussian
from faithfusion.fit.fit import fit_scene, within_memory
from faithfusion.fit.fit_config import FitConfig
from faithfusion.scene.scene_config import InitialiseConfig
from faithfusion.utils.errors import InputError


def test_room_grows_with_memory_and_shrinks_with_pixels_cache_and_colours() -> None:
    room = affordable_gaussians(4.0, 60_000, 256, 1)
    assert affordable_gaussians(5.0, 60_000, 256, 1) - room == pytest.approx(GIB / bytes_per_gaussian(1), abs=1)
    assert affordable_gaussians(4.0, 600_000, 256, 1) < room
    assert affordable_gaussians(4.0, 60_000, 1256, 1) < room
    assert affordable_gaussians(4.0, 60_000, 256, 16) < room / 1.5


def test_too_little_memory_is_refused_with_what_is_needed() -> None:
    with pytest.raises(InputError, match=r"max_memory_gib: 0.9; expected at least 1\.\d GiB"):
        affordable_gaussians(0.9, 60_000, 256, 1)
    with pytest.raises(InputError, match="negative memory"):
        FitConfig(max_memory_gib=-1.0)


def test_a_fit_keeps_its_ceiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "clip"))
    config = FitConfig(steps=2, cache_mb=1, initialise=InitialiseConfig(sky_height=8))
    assert within_memory(config, clip.frames) is config
    assert within_memory(dataclasses.replace(config, max_memory_gib=64.0), clip.frames).initialise == config.initialise
    monkeypatch.setattr("faithfusion.fit.budget.FEWEST_GAUSSIANS", 10)
    tight = dataclasses.replace(config, max_memory_gib=(1_000_000_000 + 1_000_000 + 768_000 + 50 * 924) / GIB)
    limited = within_memory(tight, clip.frames)
    assert limited.initialise.max_gaussians == limited.densify.max_gaussians == 50
    scene, _ = fit_scene(clip, clip.frames, tight)
    assert 0 < scene.gaussians.num <= 50
