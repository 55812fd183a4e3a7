"""Modules with the parameters, buffers and forward passes of DriveStudio's models, written from their description, and
a checkpoint of them as its trainer saves one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def vanilla(num: int, degree: int, generator: torch.Generator, centre: tuple[float, ...], spread: float) -> dict:
    """State of VanillaGaussians: log scales, opacity logits, quaternions wxyz, harmonics."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "_means": normal(num, 3) * spread + torch.tensor(centre),
        "_scales": normal(num, 3) * 0.3 - 1.5,
        "_quats": normal(num, 4),
        "_features_dc": normal(num, 3) * 0.5,
        "_features_rest": normal(num, (degree + 1) ** 2 - 1, 3) * 0.15,
        "_opacities": normal(num, 1) + 1.0,
    }


def nodes(num: int, instances: int, frames: int, degree: int, generator: torch.Generator) -> dict:
    """State of RigidNodes: boxes drive along x; instance i is there from frame i on."""
    state = vanilla(num, degree, generator, (0.0, 0.0, 0.0), 0.5)
    yaw = torch.linspace(0.2, 0.6, frames)[:, None] + torch.arange(instances) * 0.7
    zero = torch.zeros_like(yaw)
    quats = torch.stack([(yaw / 2).cos(), zero, zero, (yaw / 2).sin()], -1)
    ahead, aside = 8.0 + 0.5 * torch.arange(frames)[:, None] + zero, 2.0 - 3.0 * torch.arange(instances) + zero
    trans = torch.stack([ahead, aside, zero], -1)
    return state | {
        "instances_quats": 1.7 * quats,  # refined ones are not of unit length
        "instances_trans": trans,
        "points_ids": torch.arange(num)[:, None] % instances,
        "instances_size": torch.tensor([[4.5, 1.9, 1.6]]).repeat(instances, 1),
        "instances_fv": torch.arange(frames)[:, None] >= torch.arange(instances),
    }


class DeformNetwork(nn.Module):
    """ConditionalDeformNetwork: 8 layers of 256, encoded place and time and the code again before the fifth."""

    def __init__(self, codes: int = 16, width: int = 256, depth: int = 8, octaves: int = 10) -> None:
        super().__init__()
        self.octaves, self.skip = octaves, depth // 2
        inputs = 4 * (1 + 2 * octaves) + codes
        wide = [nn.Linear(width + inputs if i == self.skip else width, width) for i in range(depth - 1)]
        self.linear = nn.ModuleList([nn.Linear(inputs, width), *wide])
        self.gaussian_warp = nn.Linear(width, 3)
        self.gaussian_rotation = nn.Linear(width, 4)

    def encode(self, x: Tensor) -> Tensor:
        parts = [x]
        for k in range(self.octaves):
            parts += [torch.sin(x * 2.0**k), torch.cos(x * 2.0**k)]
        return torch.cat(parts, -1)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        place, time = self.encode(x), self.encode(t)
        h = torch.cat([place, time, condition], -1)
        for i, layer in enumerate(self.linear):
            h = F.relu(layer(h))
            if i == self.skip:
                h = torch.cat([place, time, condition, h], -1)
        return self.gaussian_warp(h), self.gaussian_rotation(h)


class SkyNetwork(nn.Module):
    """SkyModel: sines and cosines of directions, an appearance code, three layers with a skip before the second."""

    def __init__(self, images: int = 4, codes: int = 16, width: int = 64) -> None:
        super().__init__()
        self.direction_encoding = nn.Module()
        self.direction_encoding.register_buffer("scales", 2.0 ** torch.arange(7))
        self.appearance_embedding = nn.Embedding(images, codes)
        inputs = 3 + 2 * 3 * 7 + codes
        self.sky_head = nn.Module()
        self.sky_head.layers = nn.ModuleList(
            [nn.Linear(inputs, width), nn.Linear(width + inputs, width), nn.Linear(width, 3)]
        )

    def forward(self, directions: Tensor) -> Tensor:
        scaled = (directions[:, None, :] * self.direction_encoding.scales[:, None]).reshape(len(directions), -1)
        encoded = torch.sin(torch.cat([scaled, scaled + 0.5 * torch.pi], -1))
        code = self.appearance_embedding.weight.mean(0).expand(len(directions), -1)
        x = inputs = torch.cat([directions, encoded, code], -1)
        for i, layer in enumerate(self.sky_head.layers):
            x = layer(torch.cat([x, inputs], -1) if i == 1 else x)
            x = F.relu(x) if i < 2 else x
        return torch.sigmoid(x)


class Affine(nn.Module):
    """AffineTransform: a code per picture, decoded to a 3x4 change of colour."""

    def __init__(self, images: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(images, 4)
        self.decoder = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 12))

    def mean(self) -> Tensor:
        affine = self.decoder(self.embedding.weight.mean(0)).reshape(3, 4)
        return torch.cat([affine[:, :3] + torch.eye(3), affine[:, 3:]], 1)


def save_checkpoint(path: Path, models: dict[str, Any], step: int = 30_000) -> None:
    """As BasicTrainer.save_checkpoint: the trainer's own state (its metric networks), `models` and `step`."""
    states = {name: model.state_dict() if isinstance(model, nn.Module) else model for name, model in models.items()}
    torch.save({"lpips.net.lin0.weight": torch.zeros(3), "models": states, "step": step}, path)
