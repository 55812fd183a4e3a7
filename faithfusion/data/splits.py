"""Which recorded frames are fitted, which calibrate EIG and which are kept back for evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from faithfusion.data.split_config import SplitConfig
from faithfusion.types import DriveClip, Frame
from faithfusion.utils.errors import InputError

STRETCH_PERIOD = 50
"""About so many time stamps lie between one withheld stretch of a camera and its next."""
LEAST_EXTRAPOLATED = 4
"""A withheld stretch of fewer time stamps is interpolated by the fitted frames before and after it."""
LARGEST_STRETCH_SHARE = 1 / 6
"""The largest share of a clip that one stretch may take; shorter clips get shorter stretches."""


@dataclass(frozen=True)
class Split:
    """The frames of a clip by what they are for, each in the order of the clip."""

    train: tuple[Frame, ...]
    calibration: tuple[Frame, ...]
    held_out: tuple[Frame, ...]

    @property
    def recorded(self) -> tuple[Frame, ...]:
        """Everything that may be fitted once EIG is calibrated."""
        return self.train + self.calibration


def held_out_stride(config: SplitConfig, num_frames: int) -> int:
    """One of so many time stamps is held out, 0 for none. A clip too short for the default stride holds out its middle,
    and one of a single time stamp nothing. Raises InputError as `split_clip` does."""
    every = config.held_out_every
    if every == 0 or (every == SplitConfig.held_out_every and num_frames == 1):
        return 0
    if every == SplitConfig.held_out_every and every // 2 >= num_frames:
        return num_frames - num_frames % 2
    if every < 2 or every // 2 >= num_frames:
        longest = 2 * num_frames - 1
        expected = f"0, or 2 to {longest} for a clip of {num_frames} frames" if longest > 1 else "0 for a single frame"
        raise InputError("split.held_out_every", every, expected)
    return every


def split_clip(clip: DriveClip, config: SplitConfig) -> Split:
    """All cameras of every `held_out_every`-th time stamp are held out, from the middle of the first stride on (4, 12,
    20, ... with a stride of 8). Of the other frames one stretch of each camera calibrates. Stretches of different
    cameras do not coincide, so the rest of the rig still passes by.

    Raises InputError for a stride of 1 (nothing would be left to fit) and for one so long that nothing is held out. The
    default stride shrinks with clips that are too short for it.
    """
    every = held_out_stride(config, clip.num_frames)
    stretches = {name: set(stretch_times(clip, name, config.stretch_frames)) for name in clip.camera_names}
    parts: dict[str, list[Frame]] = {"train": [], "calibration": [], "held_out": []}
    for frame in clip.frames:
        if every and frame.time_index % every == every // 2:
            parts["held_out"].append(frame)
        elif frame.time_index in stretches[frame.camera_name]:
            parts["calibration"].append(frame)
        else:
            parts["train"].append(frame)
    return Split(**{name: tuple(frames) for name, frames in parts.items()})


def every_nth_of_each_camera(frames: Sequence[Frame], stride: int) -> tuple[Frame, ...]:
    """One of `stride` frames of each camera, counted along its time stamps, in the order given.

    The cameras take turns: every second frame of a drive of two cameras would be the frames of one camera alone.
    """
    names = list(dict.fromkeys(frame.camera_name for frame in frames))
    chosen = set()
    for turn, name in enumerate(names):
        times = sorted(frame.time_index for frame in frames if frame.camera_name == name)
        chosen |= {(name, time) for time in times[turn % stride :: stride]}
    return tuple(frame for frame in frames if (frame.camera_name, frame.time_index) in chosen)


def extrapolated(withheld: Sequence[Frame]) -> tuple[Frame, ...]:
    """The frames of cameras whose withheld stretches are long enough to tell how a scene errs away from what was
    fitted: all of a camera, or none."""
    times: dict[str, list[int]] = {}
    for frame in withheld:
        times.setdefault(frame.camera_name, []).append(frame.time_index)
    telling = {name for name, seen in times.items() if _longest_run(sorted(seen)) >= LEAST_EXTRAPOLATED}
    return tuple(frame for frame in withheld if frame.camera_name in telling)


def _longest_run(times: Sequence[int]) -> int:
    """Time stamps from the first to the last of the longest run; one that is held out within a run does not end it."""
    longest, start = 1, times[0]
    for before, time in zip(times, times[1:], strict=False):
        start = start if time - before <= 2 else time
        longest = max(longest, time - start + 1)
    return longest


def stretch_times(clip: DriveClip, camera_name: str, stretch_frames: int) -> Iterator[int]:
    """Time stamps of the withheld stretches of one camera."""
    length = min(stretch_frames, int(clip.num_frames * LARGEST_STRETCH_SHARE))
    count = max(1, round(clip.num_frames / STRETCH_PERIOD))
    turn = (clip.camera_names.index(camera_name) + 0.5) / len(clip.camera_names)
    for number in range(count):
        start = round((number + turn) * clip.num_frames / count - length / 2)
        yield from range(start, start + length)
