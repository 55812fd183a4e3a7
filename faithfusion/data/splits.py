"""Which recorded frames are fitted and which are kept back for calibration and evaluation."""

from __future__ import annotations

from faithfusion.types import DriveClip, Frame
from faithfusion.utils.errors import InputError


def split_frames(clip: DriveClip, held_out_every: int) -> tuple[list[Frame], list[Frame]]:
    """(train, held out): all cameras of every `held_out_every`-th time stamp, from the middle of the first stride on.

    With 8 these are the time stamps 4, 12, 20, ...; 0 keeps nothing back. Raises InputError for 1 (nothing would be
    left to fit) and for a stride so long that nothing of this clip is held out.
    """
    if held_out_every == 0:
        return list(clip.frames), []
    if held_out_every < 2 or held_out_every // 2 >= clip.num_frames:
        expected = f"0, or 2 to {2 * clip.num_frames - 1} for a clip of {clip.num_frames} frames"
        raise InputError("held_out_every", held_out_every, expected)
    held_out = [frame.time_index % held_out_every == held_out_every // 2 for frame in clip.frames]
    train = [frame for frame, out in zip(clip.frames, held_out, strict=True) if not out]
    return train, [frame for frame, out in zip(clip.frames, held_out, strict=True) if out]
