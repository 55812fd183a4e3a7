"""Gaussians to and from the PLY files that public viewers read."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from einops import rearrange
from gsply import GSData, plyread, plywrite
from gsply.gsdata import create_ply_format

from faithfusion.types import Gaussians
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError


def export_ply(path: Path, gaussians: Gaussians) -> None:
    """Writes the 3DGS PLY layout (log-scales, opacity logits, harmonics). For a moment of a scene with moving
    vehicles pass `gaussians_at(scene, time_index)`; Gaussians with an opacity of 0 are left out.
    """
    keep = torch.sigmoid(gaussians.opacity_logits) > 0
    rows = {
        name: getattr(gaussians, name).detach()[keep].cpu().float().numpy()
        for name in ("means", "quats", "log_scales", "opacity_logits", "colors")
    }
    colors = rows["colors"]
    data = GSData(
        means=rows["means"],
        scales=rows["log_scales"],
        quats=rows["quats"],
        opacities=rows["opacity_logits"],
        sh0=colors[:, 0],
        shN=colors[:, 1:],
        _format=create_ply_format(math.isqrt(colors.shape[1]) - 1),
    )
    threads = torch.get_num_threads()
    with atomic_file(path) as temporary:
        plywrite(temporary, data)
    torch.set_num_threads(threads)  # numba, inside gsply, resets the count of the OpenMP runtime that torch shares


def import_ply(path: Path) -> Gaussians:
    """Gaussians of a 3DGS PLY file (plain or compressed). InputError if it is missing or not one."""
    if not path.is_file():
        raise InputError(path, "no such file", "a Gaussian splatting PLY file")
    try:
        data = plyread(path)
    except ValueError as error:
        raise InputError(path, error, "a Gaussian splatting PLY file") from None
    means, quats, log_scales, logits, dc = (
        torch.tensor(array, dtype=torch.float32)
        for array in (data.means, data.quats, data.scales, data.opacities, data.sh0)
    )
    rest = torch.tensor(data.shN, dtype=torch.float32).reshape(len(means), -1, 3)
    return Gaussians(means, quats, log_scales, logits, torch.cat([rearrange(dc, "n c -> n 1 c"), rest], dim=1))
