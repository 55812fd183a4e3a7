"""One picture of a shard of training pairs, to see what the generator will learn from."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from faithfusion.clips.store import WindowShard, read_shard
from faithfusion.evaluate.report.panels import BACKGROUND, EIG_RANGE_NATS, GAP, TEXT, colorize_eig
from faithfusion.utils.media import to_uint8, write_image

MAX_ROWS = 12
MAX_PANEL_WIDTH = 400
STRIP = 18
ERROR_RANGE = 0.3
"""RMS colour error at the top of the scale."""
TITLES = ("render", f"EIG, 0 to {EIG_RANGE_NATS:g} nats", "truth", f"error, 0 to {ERROR_RANGE:g}", "reference")


def write_pair_sheet(shard_path: Path) -> Path:
    """Writes NAME.png beside the shard: the middle frame of up to 12 windows, as render, EIG, truth, error and the
    middle reference."""
    shard = read_shard(shard_path)
    rows = sheet_rows(len(shard))
    panels = [window_panels(shard, index) for index in rows]
    height, width = (max(panel.shape[axis] for row in panels for panel in row) for axis in (0, 1))
    canvas = Image.new("RGB", (len(TITLES) * (width + GAP) + GAP, len(rows) * (height + STRIP + GAP) + GAP), BACKGROUND)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=12)
    for r, (index, row) in enumerate(zip(rows, panels, strict=True)):
        top = GAP + r * (height + STRIP + GAP)
        for c, (title, panel) in enumerate(zip(TITLES, row, strict=True)):
            left = GAP + c * (width + GAP)
            label = f"window {index} of {len(shard)}: {title}" if c == 0 else title
            draw.text((left, top + STRIP // 2), label, fill=TEXT, font=font, anchor="lm")
            canvas.paste(Image.fromarray(panel), (left, top + STRIP))
    path = shard_path.with_suffix(".png")
    write_image(path, np.asarray(canvas))
    return path


def sheet_rows(num_windows: int) -> list[int]:
    """Returns the windows to show: all of them, or 12 spread evenly."""
    return sorted(set(torch.linspace(0, num_windows - 1, min(num_windows, MAX_ROWS)).round().int().tolist()))


def window_panels(shard: WindowShard, index: int) -> list[np.ndarray]:
    """Returns the pictures of one window, in the order of `TITLES`."""
    window = shard[index]
    frame = window.render.shape[0] // 2
    error = (window.render[frame] - window.truth[frame]).square().mean(-1).sqrt()
    pictures = [
        window.render[frame],
        colorize_eig(window.eig.eig_nats[frame], EIG_RANGE_NATS),
        window.truth[frame],
        colorize_eig(error, ERROR_RANGE),
        window.references[len(window.references) // 2],
    ]
    return [to_uint8(_shrink(picture)) for picture in pictures]


def _shrink(image: Float[Tensor, "h w 3"]) -> Float[Tensor, "h2 w2 3"]:
    factor = math.ceil(image.shape[1] / MAX_PANEL_WIDTH)
    pooled = F.avg_pool2d(rearrange(image, "h w c -> 1 c h w"), factor, ceil_mode=True)
    return rearrange(pooled, "1 c h w -> h w c")
