"""Pictures for people: EIG in colour with a bar in nats, labelled panels side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from faithfusion.utils.errors import InputError
from faithfusion.utils.media import to_uint8

EIG_RANGE_NATS = 8.0  # top of the scale of every EIG picture, so that pictures of different scenes compare
COLOR_MAP = "inferno"  # perceptually uniform, reads in grey
MIN_PANEL_HEIGHT = 240  # smaller pictures are enlarged so that labels stay legible
BACKGROUND, TEXT = (24, 24, 27), (240, 240, 240)
TARGET_ASPECT = 16 / 9
GAP = 6


def colorize_eig(eig_nats: Float[Tensor, "*shape"], max_nats: float) -> Float[Tensor, "*shape 3"]:
    """Returns EIG in colour on a fixed scale from 0 to `max_nats` nats; larger values take the top colour."""
    if not (math.isfinite(max_nats) and max_nats > 0):
        raise InputError("max_nats", max_nats, "a positive number of nats")
    level = torch.nan_to_num(eig_nats.detach().float().cpu() / max_nats, nan=1.0).clamp(0, 1)
    table = torch.from_numpy(color_table()).float()
    return table[(level * (len(table) - 1)).round().long()]


def color_table() -> Float[np.ndarray, "256 3"]:
    """Returns the colours of the EIG scale from 0 to its maximum, in [0, 1]."""
    return matplotlib.colormaps[COLOR_MAP](np.linspace(0.0, 1.0, 256))[:, :3]


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Returns about `count` round numbers inside [low, high]."""
    slack = 1e-9 * (high - low)
    return [float(tick) for tick in MaxNLocator(count).tick_values(low, high) if low - slack <= tick <= high + slack]


def with_color_bar(frames: Float[Tensor, "t h w 3"], max_nats: float, unit: str = "nats") -> Float[Tensor, "t h2 w2 3"]:
    """Adds a bar from 0 to `max_nats` at the right of colour-mapped frames; small frames are enlarged."""
    frames = _enlarge(frames.detach().float().cpu())
    height = frames.shape[1]
    bar = torch.from_numpy(_draw_bar(height, max_nats, unit).astype(np.float32) / 255.0)
    return torch.cat([frames, bar.expand(frames.shape[0], -1, -1, -1)], dim=2)


def _draw_bar(height: int, max_nats: float, unit: str) -> np.ndarray:
    size = max(11, height // 20)
    font = _font(size)
    ticks = nice_ticks(0.0, max_nats)
    labels = [f"{tick:g}" for tick in ticks]
    label_width = max(font.getlength(text) for text in [*labels, unit])
    left, bar_width, top, bottom = size // 2, size, size * 2, height - size
    canvas = Image.new("RGB", (int(left + bar_width + size + label_width), height), BACKGROUND)
    colors = (color_table()[::-1] * 255).round().astype(np.uint8)[:, None]
    canvas.paste(Image.fromarray(colors).resize((bar_width, bottom - top)), (left, top))
    draw = ImageDraw.Draw(canvas)
    draw.text((left, size), unit, fill=TEXT, font=font, anchor="lm")
    for tick, label in zip(ticks, labels, strict=True):
        y = bottom - tick / max_nats * (bottom - top)
        draw.line([(left + bar_width, y), (left + bar_width + size // 3, y)], fill=TEXT)
        draw.text((left + bar_width + size // 2, y), label, fill=TEXT, font=font, anchor="lm")
    return np.asarray(canvas)


def side_by_side(
    panels: Mapping[str, Float[Tensor, "t h w 3"]], *, columns: int | None = None
) -> Float[Tensor, "t h2 w2 3"]:
    """Joins videos of equal length into one, each under its label; rows are broken so that the whole comes near 16:9.

    Raises InputError without panels or for different numbers of frames.
    """
    frames = list(frames_side_by_side(panels, columns=columns))
    return torch.from_numpy(np.stack(frames)).float() / 255.0


def frames_side_by_side(
    panels: Mapping[str, Float[Tensor, "t h w 3"] | np.ndarray], *, columns: int | None = None
) -> Iterator[UInt8[np.ndarray, "h2 w2 3"]]:
    """Yields the frames of `side_by_side` one by one, so that a long video needs no memory. Panels may also be uint8
    arrays."""
    lengths = {label: len(video) for label, video in panels.items()}
    if len(set(lengths.values())) != 1:
        raise InputError("side_by_side", f"frames per panel {lengths}", "at least one panel, all of one length")
    sizes = {label: frame_bytes(video[:1]).shape[1:3] for label, video in panels.items()}
    cell_height, max_width = (max(size[axis] for size in sizes.values()) for axis in (0, 1))
    columns = columns or _best_columns(len(panels), max_width / cell_height)
    strip = max(20, cell_height // 12)
    grid = [list(panels)[start : start + columns] for start in range(0, len(panels), columns)]
    widths = [max(sizes[row[c]][1] for row in grid if c < len(row)) for c in range(min(columns, len(panels)))]
    shape = (len(grid) * (cell_height + strip + GAP) + GAP, sum(widths) + (len(widths) + 1) * GAP)
    blank = np.empty((*shape, 3), np.uint8)
    blank[:] = BACKGROUND
    corners = {}
    for r, row in enumerate(grid):
        top, left = GAP + r * (cell_height + strip + GAP), GAP
        for label, width in zip(row, widths, strict=False):
            blank[top : top + strip, left : left + width] = _draw_label(label, width, strip)
            corners[label] = (top + strip, left)
            left += width + GAP
    for t in range(next(iter(lengths.values()))):
        canvas = blank.copy()
        for label, (top, left) in corners.items():
            height, width = sizes[label]
            canvas[top : top + height, left : left + width] = frame_bytes(panels[label][t : t + 1])[0]
        yield canvas


def frame_bytes(frames: Float[Tensor, "t h w 3"] | np.ndarray) -> UInt8[np.ndarray, "t h2 w2 3"]:
    """Returns frames as they are shown, small ones enlarged; uint8 arrays as they are."""
    return frames if isinstance(frames, np.ndarray) else to_uint8(_enlarge(frames.detach().float().cpu()))


def _best_columns(count: int, aspect: float) -> int:
    def cost(columns: int) -> float:
        rows = math.ceil(count / columns)
        return abs(math.log(columns * aspect / rows / TARGET_ASPECT)) + 1.0 - count / (columns * rows)

    return min(range(1, count + 1), key=cost)


def _draw_label(text: str, width: int, height: int) -> np.ndarray:
    strip = Image.new("RGB", (width, height), BACKGROUND)
    ImageDraw.Draw(strip).text((2, height // 2), text, fill=TEXT, font=_font(int(height * 0.65)), anchor="lm")
    return np.asarray(strip)


def _enlarge(video: Float[Tensor, "t h w 3"]) -> Float[Tensor, "t h2 w2 3"]:
    factor = math.ceil(MIN_PANEL_HEIGHT / video.shape[1])
    if factor == 1:
        return video
    planes = rearrange(video, "t h w c -> t c h w").contiguous()  # a third faster than with the colours innermost
    batch = F.interpolate(planes, scale_factor=factor, mode="bicubic")
    return rearrange(batch, "t c h w -> t h w c").clamp(0, 1)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
