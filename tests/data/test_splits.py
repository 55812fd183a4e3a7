from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.split_config import SplitConfig
from faithfusion.data.splits import Split, every_nth_of_each_camera, extrapolated, split_clip
from faithfusion.types import DriveClip, Frame
from faithfusion.utils.errors import InputError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DriveClip:
    folder: Path = tmp_path_factory.mktemp("splits")
    return read_drive(write_tiny_clip(folder / "long", num_frames=26, optional=False))


def places(frames: tuple[Frame, ...]) -> list[tuple[str, int]]:
    return sorted((frame.camera_name, frame.time_index) for frame in frames)


def test_every_eighth_time_stamp_is_held_out_and_a_stretch_of_each_camera_calibrates(clip: DriveClip) -> None:
    split = split_clip(clip, SplitConfig())
    assert places(split.held_out) == [(camera, t) for camera in "01" for t in (4, 12, 20)]
    # 26 / 6 = 4 time stamps around a quarter and three quarters of the clip, without those that are held out
    assert places(split.calibration) == [("0", t) for t in (5, 6, 7)] + [("1", t) for t in (18, 19, 21)]
    every = [*split.train, *split.calibration, *split.held_out]
    assert len(every) == len(clip.frames)
    assert {frame.image_path for frame in every} == {frame.image_path for frame in clip.frames}
    assert split.recorded == split.train + split.calibration


def test_long_drives_withhold_a_stretch_of_every_camera_again_and_again(clip: DriveClip) -> None:
    frames = tuple(
        dataclasses.replace(clip.frames[0], time_index=t, camera_name=c) for t in range(200) for c in clip.camera_names
    )
    long = dataclasses.replace(clip, num_frames=200, frames=frames)
    split = split_clip(long, SplitConfig(held_out_every=0, stretch_frames=6))
    times = [t for camera, t in places(split.calibration) if camera == "0"]
    assert len(times) == 4 * 6
    gaps = [b - a for a, b in zip(times, times[1:], strict=False)]
    assert sorted(gaps) == [1] * 20 + [45] * 3
    assert not {t for camera, t in places(split.calibration) if camera == "1"} & set(times)


def test_nothing_need_be_withheld(clip: DriveClip) -> None:
    assert split_clip(clip, SplitConfig(0, 0)) == Split(clip.frames, (), ())


def test_a_stride_that_holds_out_everything_or_nothing_is_refused(clip: DriveClip) -> None:
    for stride in (1, -3, 80):
        with pytest.raises(InputError, match="held_out_every"):
            split_clip(clip, SplitConfig(held_out_every=stride))
    with pytest.raises(InputError, match="stretch_frames"):
        SplitConfig(stretch_frames=-1)


@pytest.mark.parametrize("num_cameras", [1, 2, 3, 6])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_every_camera_informs_as_often_as_the_others(clip: DriveClip, num_cameras: int, stride: int) -> None:
    names = tuple(str(camera) for camera in range(num_cameras))
    frames = tuple(
        dataclasses.replace(clip.frames[0], time_index=t, camera_name=name) for t in range(60) for name in names
    )
    split = split_clip(dataclasses.replace(clip, num_frames=60, camera_names=names, frames=frames), SplitConfig())
    for part in (split.train, split.recorded):
        chosen = every_nth_of_each_camera(part, stride)
        assert set(chosen) <= set(part) and len(chosen) == pytest.approx(len(part) / stride, abs=num_cameras)
        for name in names:
            own = sorted(frame.time_index for frame in part if frame.camera_name == name)
            ranks = [own.index(t) for camera, t in places(chosen) if camera == name]
            assert ranks and all(b - a == stride for a, b in zip(ranks, ranks[1:], strict=False)), name
    assert every_nth_of_each_camera(split.train, 1) == split.train


def test_cameras_take_turns(clip: DriveClip) -> None:
    chosen = every_nth_of_each_camera(clip.frames[:8], 2)
    assert [(frame.time_index, frame.camera_name) for frame in chosen] == [(0, "0"), (1, "1"), (2, "0"), (3, "1")]


def test_short_stretches_tell_nothing_of_extrapolation(clip: DriveClip) -> None:
    def frames(name: str, *times: int) -> tuple[Frame, ...]:
        like = next(frame for frame in clip.frames if frame.camera_name == name)
        return tuple(dataclasses.replace(like, time_index=time) for time in times)

    short, long = frames("0", 7, 8, 40, 41, 42), frames("1", 7, 8, 20, 21, 23)  # 22 is held out
    assert extrapolated(short + long) == long
    assert extrapolated(short) == extrapolated(()) == ()
    assert extrapolated(frames("0", 1, 2, 3, 4)) == frames("0", 1, 2, 3, 4)
