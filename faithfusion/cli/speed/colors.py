"""Measures how well and how small colours are stored in a shard's mp4 files, and how fast they are read."""

from __future__ import annotations

import glob
import tempfile
import time
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from faithfusion.cli.speed.speed_config import ColorsConfig
from faithfusion.clips.clip_config import ColorFormat
from faithfusion.clips.video_file import VideoWriter, read_frames
from faithfusion.utils.errors import InputError
from faithfusion.utils.media import read_image
from faithfusion.utils.seed import make_generator

FORMATS = (("rgb", 0), ("rgb", 8), ("yuv444", 0), ("yuv444", 4), ("yuv444", 12))
READ_FRAMES, READ_TIMES = 5, 40


def bench_colors(config: ColorsConfig) -> None:
    """Prints one line per format: PSNR of all and of the worst frame, size against bytes, seconds."""
    paths = sorted(glob.glob(config.images))
    if len(paths) < READ_FRAMES:
        raise InputError("images", f"{len(paths)} files fit {config.images}", f"at least {READ_FRAMES}")
    clip = torch.stack([(read_image(Path(path)) * 255.0 + 0.5).to(torch.uint8) for path in paths])
    print(f"{len(clip)} frames of {clip.shape[2]}x{clip.shape[1]}, {clip.numel() / 1e6:.1f} MB as bytes")
    print("| format | PSNR, worst frame | of the bytes | write | read all | any 5 frames |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for pixels, crf in FORMATS:
            row = measure(clip, ColorFormat(pixels, crf, config.keyframe_every), Path(folder) / "clip.mp4")
            print(f"| {pixels}, crf {crf} | {row} |")


def measure(clip: UInt8[Tensor, "t h w 3"], color_format: ColorFormat, path: Path) -> str:
    """Measures one format; returns the cells of its row in the table."""
    height, width = clip.shape[1:3]
    begin = time.perf_counter()
    writer = VideoWriter(path, height, width, color_format)
    writer.write(clip)
    writer.close()
    written = time.perf_counter()
    found = read_frames(path, 0, len(clip), height=height, width=width)
    read = time.perf_counter()
    random = make_generator(0, "bench colors")
    for start in torch.randint(0, len(clip) - READ_FRAMES + 1, (READ_TIMES,), generator=random).tolist():
        read_frames(path, start, start + READ_FRAMES, height=height, width=width)
    part_ms = (time.perf_counter() - read) / READ_TIMES * 1e3
    errors = (found.double() - clip.double()).square().mean((1, 2, 3)) / 255.0**2
    quality = "exact" if not errors.any() else f"{_db(errors.mean()):.1f} dB, {_db(errors.max()):.1f}"
    share = path.stat().st_size / clip.numel()
    return f"{quality} | {share:.2f} | {written - begin:.2f} s | {read - written:.2f} s | {part_ms:.0f} ms"


def _db(sq_error: Tensor) -> float:
    return float(-10.0 * sq_error.log10())
