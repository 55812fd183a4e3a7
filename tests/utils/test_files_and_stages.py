"""Writes are whole or absent, stages run once, chance is named, colours survive a round trip."""

from __future__ import annotations

from pathlib import Path

import imageio.v2 as imageio
import pytest
import torch

from faithfusion.utils.atomic import atomic_file, atomic_folder, require_writable
from faithfusion.utils.errors import InputError
from faithfusion.utils.media import read_image, write_image, write_video
from faithfusion.utils.seed import make_generator
from faithfusion.utils.stage_log import StageLog


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "data.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "drive") as temporary:
        (temporary / "frame").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_inside_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can be created"):
        require_writable(tmp_path / "file" / "run")


def run_stages(folder: Path, first: int, second: int) -> list[str]:
    """Two dependent stages; names of those that really ran."""
    ran: list[str] = []
    log = StageLog(folder)
    for name, inputs in (("a", first), ("b", second)):
        log.run(name, inputs, [folder / name], lambda name=name: (ran.append(name), (folder / name).write_text("")))
    assert set(log.seconds) == {"a", "b"}
    return ran


def test_stages_run_once_and_again_when_something_before_them_changes(tmp_path: Path) -> None:
    assert run_stages(tmp_path, 1, 1) == ["a", "b"]
    assert run_stages(tmp_path, 1, 1) == []
    assert run_stages(tmp_path, 1, 2) == ["b"]
    assert run_stages(tmp_path, 3, 2) == ["a", "b"]
    (tmp_path / "b").unlink()
    assert run_stages(tmp_path, 3, 2) == ["b"]


def test_a_stage_that_fails_is_not_done(tmp_path: Path) -> None:
    def fail() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        StageLog(tmp_path).run("a", 1, [], fail)
    assert StageLog(tmp_path).seconds == {}


def test_streams_of_chance_depend_on_seed_and_name_only() -> None:
    draws = {name: torch.rand(4, generator=make_generator(seed, *name)) for seed in (0,) for name in (("a",), ("b",))}
    assert torch.equal(draws[("a",)], torch.rand(4, generator=make_generator(0, "a")))
    assert not torch.equal(draws[("a",)], draws[("b",)])
    assert not torch.equal(draws[("a",)], torch.rand(4, generator=make_generator(1, "a")))


def test_images_round_trip_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    image = torch.rand(7, 5, 3)
    write_image(tmp_path / "image.png", image)
    torch.testing.assert_close(read_image(tmp_path / "image.png"), image, atol=0.5 / 255 + 1e-6, rtol=0)
    whole = (tmp_path / "image.png").read_bytes()
    (tmp_path / "image.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be decoded"):
        read_image(tmp_path / "image.png")
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "nothing.png")


def test_videos_of_odd_size_are_written(tmp_path: Path) -> None:
    write_video(tmp_path / "video.mp4", torch.rand(5, 33, 47, 3), 10.0)
    frames = imageio.mimread(tmp_path / "video.mp4")
    assert len(frames) == 5
    assert frames[0].shape == (34, 48, 3)
