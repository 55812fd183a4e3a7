"""DriveStudio's skies as equirectangular textures (from a cube map, or a small network), and its mean exposure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from faithfusion.scene.drivestudio_models import Keys
from faithfusion.utils.harmonics import SH_0
from faithfusion.utils.similarity import Similarity

CUBE_FROM_WORLD = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Turns world directions (z up) into those of the cube map (y up)."""
MIN_HEIGHT, MAX_HEIGHT = 128, 1024
NETWORK_HEIGHT = 256
CUBE_FACES = ((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0), (2, 1.0), (2, -1.0))  # +x -x +y -y +z -z


def texel_directions(height: int, width: int) -> Float[Tensor, "h w 3"]:
    """Unit directions of the centres of a sky's texels; inverse of `sky.sky_coordinates`."""
    polar = (torch.arange(height) + 0.5) * (math.pi / height)
    azimuth = (torch.arange(width) + 0.5) * (2.0 * math.pi / width)
    polar, azimuth = torch.meshgrid(polar, azimuth, indexing="ij")
    return torch.stack([polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin(), polar.cos()], dim=-1)


def cube_texture(faces: Float[Tensor, "6 r r 3"], world_from_model: Float[Tensor, "3 3"]) -> Float[Tensor, "h w 3"]:
    """The cube map (`EnvLight.base`) as a texture in world directions; half as many rows as the cube has around."""
    height = min(max(faces.shape[1], MIN_HEIGHT), MAX_HEIGHT)
    directions = texel_directions(height, 2 * height) @ world_from_model  # rows: R^T d
    return sample_cube(faces, directions @ CUBE_FROM_WORLD.T)


def sample_cube(faces: Float[Tensor, "6 r r 3"], directions: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w 3"]:
    """Bilinear colours of a cube map as nvdiffrast and OpenGL lay it out (OpenGL 4.6, table 8.19).

    Faces +x -x +y -y +z -z. At the seams each face repeats its own edge, where nvdiffrast blends the two faces: half
    a texel.
    """
    x, y, z = directions.unbind(-1)
    major = directions.abs().argmax(-1)
    colors = torch.zeros_like(directions)
    across = {(0, 1.0): (-z, -y), (0, -1.0): (z, -y), (1, 1.0): (x, z), (1, -1.0): (x, -z)}
    across |= {(2, 1.0): (x, -y), (2, -1.0): (-x, -y)}
    for face, (axis, sign) in zip(faces, CUBE_FACES, strict=True):
        chosen = (major == axis) & (directions[..., axis] * sign > 0)
        column, row = (part[chosen] / directions[..., axis][chosen].abs() for part in across[axis, sign])
        grid = torch.stack([column, row], dim=-1)[None, None]
        image = face.permute(2, 0, 1)[None]
        values = F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
        colors[chosen] = values[0, :, 0].T
    return colors


def network_texture(keys: Keys, world_from_model: Float[Tensor, "3 3"]) -> Float[Tensor, "h w 3"]:
    """The sky of a `SkyModel`, with the mean of its appearance codes, as DriveStudio renders views it did not train."""
    directions = texel_directions(NETWORK_HEIGHT, 2 * NETWORK_HEIGHT) @ world_from_model
    flat = directions.reshape(-1, 3)
    waves = (flat[:, None] * keys.get("direction_encoding.scales", None)[:, None]).flatten(1)
    features = torch.cat([flat, waves.sin(), (waves + 0.5 * math.pi).sin()], dim=-1)
    if "appearance_embedding.weight" in keys:
        code = keys.get("appearance_embedding.weight", None, None).mean(0)
        features = torch.cat([features, code.expand(len(flat), -1)], dim=-1)
    hidden, layer = features, 0
    while f"sky_head.layers.{layer}.weight" in keys:
        weight, bias = keys.get(f"sky_head.layers.{layer}.weight"), keys.get(f"sky_head.layers.{layer}.bias")
        if layer:
            hidden = F.relu(hidden)
        if weight.shape[1] == hidden.shape[1] + features.shape[1]:  # a skip connection
            hidden = torch.cat([hidden, features], dim=-1)
        hidden, layer = F.linear(hidden, weight, bias), layer + 1
    return hidden.sigmoid().reshape(directions.shape)


def sky_texture(path: Path, models: Mapping[str, Any], world: Similarity, notes: list[str]) -> Tensor:
    """The sky of a checkpoint in world directions; black, with a note, if it has none that is known."""
    rotation = torch.from_numpy(world.rotation).float()
    if "Sky" in models:
        keys = Keys(path, "Sky", models["Sky"])
        if "base" in keys:
            return cube_texture(keys.get("base", 6, None, None, 3), rotation)
        if "sky_head.layers.0.weight" in keys:
            return network_texture(keys, rotation)
        notes.append("a sky of unknown kind; it is black")
    return torch.zeros(16, 32, 3)


def mean_exposure(
    path: Path, models: Mapping[str, Any], colors: Float[Tensor, "n k 3"], texture: Float[Tensor, "h w 3"], notes: list
) -> tuple[Float[Tensor, "n k 3"], Float[Tensor, "h w 3"]]:
    """Colours and sky as the mean exposure shows them, which is what DriveStudio renders for views it did not train.

    Blending weights sum to 1 with the sky's, so an affine change of all colours is the same change of the picture.
    """
    if "Affine" not in models:
        return colors, texture
    keys = Keys(path, "Affine", models["Affine"])
    code, weight = keys.get("embedding.weight", None, None).mean(0), keys.get("decoder.0.weight", None, None)
    if weight.shape[1] != len(code):
        notes.append("exposures that change over the picture (Affine with pixel_affine)")
        return colors, texture
    hidden = F.relu(F.linear(code, weight, keys.get("decoder.0.bias", None)))
    affine = F.linear(hidden, keys.get("decoder.2.weight", 12, None), keys.get("decoder.2.bias", 12)).reshape(3, 4)
    gain, offset = affine[:, :3] + torch.eye(3), affine[:, 3]
    notes.append("how single pictures deviate from the mean exposure (Affine)")
    exposed = colors @ gain.T
    shift = (0.5 * (gain.sum(1) - 1.0) + offset) / SH_0
    return torch.cat([exposed[:, :1] + shift, exposed[:, 1:]], dim=1), texture @ gain.T + offset
