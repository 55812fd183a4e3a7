"""Colours in mp4 files: lossless by default, any run of frames exactly that run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from faithfusion.clips.clip_config import ColorFormat
from faithfusion.clips.video_file import VideoWriter, count_frames, read_frames
from faithfusion.utils.errors import InputError
from faithfusion.utils.image_math import psnr_db


def smooth_frames(num: int, height: int, width: int) -> torch.Tensor:
    """A picture that moves, with an edge and a little noise, as bytes."""
    x, y = torch.meshgrid(torch.arange(height) / 16.0, torch.arange(width) / 16.0, indexing="ij")
    frames = [
        torch.stack([(x + 0.1 * t).sin(), (y - 0.2 * t).cos(), ((x + y) > 4 + 0.3 * t).float()], -1) for t in range(num)
    ]
    noisy = 0.5 + 0.4 * torch.stack(frames) + 0.01 * torch.randn(num, height, width, 3)
    return (noisy.clamp(0, 1) * 255).to(torch.uint8)


def write(path: Path, frames: torch.Tensor, color_format: ColorFormat) -> None:
    writer = VideoWriter(path, *frames.shape[1:3], color_format)
    for part in frames.split(7):
        writer.write(part)
    assert writer.close() == len(frames)


@pytest.mark.parametrize(("height", "width"), [(17, 33), (20, 48), (16, 16), (4, 1), (64, 130)])
def test_the_default_loses_nothing_at_any_size(tmp_path: Path, height: int, width: int) -> None:
    frames = torch.randint(0, 256, (10, height, width, 3), dtype=torch.uint8)
    write(tmp_path / "a.mp4", frames, ColorFormat())
    assert torch.equal(read_frames(tmp_path / "a.mp4", 0, 10, height=height, width=width), frames)


@pytest.mark.parametrize(("pixels", "crf", "least_db"), [("rgb", 0, 99.0), ("yuv444", 0, 50.0), ("yuv444", 2, 45.0)])
def test_any_run_of_frames_is_that_run(tmp_path: Path, pixels: str, crf: int, least_db: float) -> None:
    frames, path = smooth_frames(19, 48, 96), tmp_path / "a.mp4"
    write(path, frames, ColorFormat(pixels, crf, keyframe_every=6))
    whole = read_frames(path, 0, 19, height=48, width=96)
    assert psnr_db(whole.float() / 255, frames.float() / 255) >= least_db
    for start in range(19):
        for stop in range(start + 1, 20):
            assert torch.equal(read_frames(path, start, stop, height=48, width=96), whole[start:stop])


def test_a_file_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    for seed in range(2):
        frames = torch.randint(0, 256, (3, 16, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
        write(path, frames, ColorFormat())
        assert torch.equal(read_frames(path, 0, 3, height=16, width=64), frames)


def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(InputError, match="no such file"):
        read_frames(path, 0, 1, height=16, width=64)
    write(path, smooth_frames(5, 16, 64), ColorFormat())
    with pytest.raises(InputError, match="5 frames; expected at least 6"):
        read_frames(path, 2, 6, height=16, width=64)
    with pytest.raises(InputError, match="frames of 64x16; expected 80x16"):
        read_frames(path, 0, 1, height=16, width=80)
    path.write_bytes(path.read_bytes()[:-200])
    assert count_frames(path) == 0
    with pytest.raises(InputError, match="cannot be decoded"):
        read_frames(path, 0, 1, height=16, width=64)


def test_formats_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="crf"):
        ColorFormat(crf=60)
    with pytest.raises(InputError, match="keyframe_every"):
        ColorFormat(keyframe_every=0)
