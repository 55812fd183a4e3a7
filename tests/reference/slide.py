"""Views that slide, in plain Python, pixel by pixel."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def slid_by_loops(view: Tensor, offsets_px: Tensor) -> Tensor:
    """`view` [3, H, W] at (x, y) + offset, bilinear between the four pixels around it; places outside are those of the
    border. `offsets_px`: [2, H, W], x first."""
    height, width = view.shape[-2:]
    rows = []
    for y in range(height):
        for x in range(width):
            u = (x + offsets_px[0, y, x]).clamp(0, width - 1)
            v = (y + offsets_px[1, y, x]).clamp(0, height - 1)
            left, top = math.floor(u.item()), math.floor(v.item())
            total = torch.zeros_like(view[:, 0, 0])
            for j, i in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
                share = (1 - (u - i).abs()).clamp_min(0) * (1 - (v - j).abs()).clamp_min(0)
                total = total + share * view[:, min(j, height - 1), min(i, width - 1)]
            rows.append(total)
    return torch.stack(rows, dim=1).reshape(view.shape)
