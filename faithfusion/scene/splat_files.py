"""One import and one export for all files of Gaussians, chosen by suffix: .ply, .compressed.ply, .spz, .splat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from faithfusion.scene.compressed_ply import byte_logits
from faithfusion.scene.ply import export_ply, finite_gaussians, import_ply, visible_rows
from faithfusion.scene.spz import Axes, export_spz, import_spz
from faithfusion.types import Gaussians, GaussianScene, Sky
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError
from faithfusion.utils.harmonics import SH_0

SKY_HEIGHT = 128
SUFFIXES = ".ply, .compressed.ply, .spz or .splat"
SPLAT_ROW = np.dtype([("means", "<f4", 3), ("scales", "<f4", 3), ("rgba", "u1", 4), ("quats", "u1", 4)])


def import_gaussians(path: Path, *, spz_axes: Axes = "rub") -> Gaussians:
    """Gaussians of a file by its suffix. InputError for another suffix and for a missing, damaged or wrong file."""
    if path.suffix == ".ply":
        return import_ply(path)
    if path.suffix == ".spz":
        return import_spz(path, axes=spz_axes)
    if path.suffix == ".splat":
        return import_splat(path)
    raise InputError(path, f"suffix {path.suffix!r}", SUFFIXES)


def export_gaussians(path: Path, gaussians: Gaussians) -> None:
    """Writes a file of Gaussians in the format of its suffix. InputError for another suffix."""
    writers = {".ply": export_ply, ".spz": export_spz, ".splat": export_splat}
    if path.suffix not in writers:
        raise InputError(path, f"suffix {path.suffix!r}", SUFFIXES)
    writers[path.suffix](path, gaussians)


def scene_before_color(gaussians: Gaussians, rgb: Sequence[float] = (0.0, 0.0, 0.0)) -> GaussianScene:
    """A scene without moving objects before a sky of one colour: 3DGS files have no sky, its training puts them before
    black (or white, if asked), and what lies far away is Gaussians too. InputError for colours outside [0, 1]."""
    if len(rgb) != 3 or not all(0.0 <= value <= 1.0 for value in rgb):
        raise InputError("background", tuple(rgb), "red, green and blue between 0 and 1")
    device = gaussians.means.device
    texture = torch.tensor(rgb, dtype=torch.float32, device=device).repeat(SKY_HEIGHT, 2 * SKY_HEIGHT, 1)
    return GaussianScene(gaussians, torch.zeros(gaussians.num, dtype=torch.long, device=device), (), Sky(texture))


def import_splat(path: Path) -> Gaussians:
    """Gaussians of a .splat file (antimatter15's viewer): no harmonics beyond the constant."""
    expected = "a .splat file: 32 bytes per Gaussian"
    if not path.is_file():
        raise InputError(path, "no such file", expected)
    size = path.stat().st_size
    if size % SPLAT_ROW.itemsize or not size:
        raise InputError(path, f"{size} bytes", expected)
    rows = np.fromfile(path, dtype=SPLAT_ROW)
    with np.errstate(divide="ignore", invalid="ignore"):  # a scale of 0 is dropped as not finite
        log_scales = np.log(rows["scales"])
    fields = {
        "means": rows["means"],
        "quats": (rows["quats"].astype(np.float32) - 128.0) / 128.0,
        "log_scales": log_scales,
        "opacity_logits": byte_logits(rows["rgba"][:, 3]),
        "colors": ((rows["rgba"][:, None, :3].astype(np.float32) / 255.0 - 0.5) / SH_0).astype(np.float32),
    }
    return finite_gaussians(path, fields)


def export_splat(path: Path, gaussians: Gaussians) -> None:
    """Writes a .splat file, most important Gaussians first (size times opacity), as its viewer wants them."""
    rows = visible_rows(gaussians)
    opacity = 1.0 / (1.0 + np.exp(-rows["opacity_logits"].astype(np.float64)))
    order = np.argsort(-rows["log_scales"].sum(1).clip(-60, 60) - np.log(opacity), kind="stable")
    table = np.zeros(len(opacity), SPLAT_ROW)
    rgb = 0.5 + SH_0 * rows["colors"][:, 0]
    table["means"], table["scales"] = rows["means"], np.exp(rows["log_scales"])
    table["rgba"] = _bytes(np.concatenate([rgb, opacity[:, None]], axis=1) * 255.0)
    table["quats"] = _bytes(rows["quats"] * 128.0 + 128.0)
    with atomic_file(path) as temporary:
        temporary.write_bytes(table[order].tobytes())


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
