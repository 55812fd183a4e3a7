"""Slow twins of `video.model.fixers.neighbours`: one place and one neighbour at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faithfusion.types import ViewPoses

FAR_M, TOLERANCE = 1000.0, 0.05


def place_in_neighbour(
    depth_m: Tensor, poses: ViewPoses, frame: int, other: int, cell: int, row: int, column: int
) -> tuple[float, float, bool]:
    """Where frame `other` shows what a cell of `frame` shows, in its pixels, and whether it shows it at all."""
    v, u = (row + 0.5) * cell, (column + 0.5) * cell
    z = float(depth_m[frame, row * cell + cell // 2, column * cell + cell // 2]) or FAR_M
    inverse = torch.linalg.inv(poses.intrinsics[frame].double())
    local = inverse @ torch.tensor([u, v, 1.0], dtype=torch.float64) * z
    world = poses.world_from_camera[frame].double() @ torch.cat([local, torch.ones(1).double()])
    seen = torch.linalg.inv(poses.world_from_camera[other].double()) @ world
    if seen[2] <= 1e-3:
        return 0.0, 0.0, False
    pixel = poses.intrinsics[other].double() @ seen[:3] / seen[2]
    x, y = float(pixel[0]), float(pixel[1])
    height, width = depth_m.shape[1] // cell, depth_m.shape[2] // cell
    if not (0 <= x <= width * cell and 0 <= y <= height * cell):
        return x, y, False
    there_row = min(max(round(y / cell - 0.5), 0), height - 1)
    there_column = min(max(round(x / cell - 0.5), 0), width - 1)
    there = float(depth_m[other, there_row * cell + cell // 2, there_column * cell + cell // 2]) or FAR_M
    return x, y, abs(there - float(seen[2])) < TOLERANCE * float(seen[2])


def attend(module: nn.Module, features: Tensor, places: dict[tuple[int, int, int], list]) -> Tensor:
    """`NeighbourAttention` by loops. `places`: per frame, row and column the list of (neighbour, x, y, is_shown), x and
    y in cells of this resolution (centres at +0.5)."""
    normed = F.group_norm(features, module.norm.num_groups, module.norm.weight, module.norm.bias, module.norm.eps)
    query, key, value = (p(normed) for p in (module.to_query, module.to_key, module.to_value))
    heads, size = module.source_bias.shape[1], features.shape[1] // module.source_bias.shape[1]
    rows = []
    for frame in range(len(features)):
        for y in range(features.shape[2]):
            for x in range(features.shape[3]):
                sources = [(key[frame, :, y, x], value[frame, :, y, x], 0)]
                for number, (other, at_x, at_y, is_shown) in enumerate(places[frame, y, x]):
                    if is_shown:
                        pair = (bilinear(values[other], at_x - 0.5, at_y - 0.5) for values in (key, value))
                        sources.append((*pair, 1 + number))
                taken = []
                for head in range(heads):
                    part = slice(head * size, (head + 1) * size)
                    logits = [
                        (query[frame, part, y, x] * k[part]).sum() / size**0.5 + module.source_bias[number, head]
                        for k, _, number in sources
                    ]
                    weights = torch.stack(logits).softmax(0)
                    taken.append(sum(w * v[part] for w, (_, v, _) in zip(weights, sources, strict=True)))
                rows.append(torch.cat(taken))
    shape = (len(features), *features.shape[2:], features.shape[1])
    taken = torch.stack(rows).reshape(shape).permute(0, 3, 1, 2)
    return features + module.to_out(taken)


def bilinear(image: Tensor, x: float, y: float) -> Tensor:
    """The value of [c, h, w] at column x and row y; 0 outside."""
    column, row = int(torch.tensor(x).floor()), int(torch.tensor(y).floor())
    total = torch.zeros(len(image), dtype=image.dtype)
    for r, weight_r in ((row, 1 - (y - row)), (row + 1, y - row)):
        for c, weight_c in ((column, 1 - (x - column)), (column + 1, x - column)):
            if 0 <= r < image.shape[1] and 0 <= c < image.shape[2]:
                total = total + weight_r * weight_c * image[:, r, c]
    return total
