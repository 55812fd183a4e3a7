"""One import and one export for all files of Gaussians, chosen by suffix: .ply, .compressed.ply, .spz, .splat."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from faithfusion.scene.compressed_ply import byte_logits
from faithfusion.scene.move_gaussians import move_gaussians
from faithfusion.scene.plain_ply import Activated
from faithfusion.scene.ply import export_ply, import_ply, visible_rows
from faithfusion.scene.spz import Axes, export_spz, import_spz
from faithfusion.scene.whole_rows import finite_gaussians
from faithfusion.types import Gaussians, GaussianScene, Sky
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError
from faithfusion.utils.harmonics import SH_0
from faithfusion.utils.progress import say
from faithfusion.utils.similarity import Similarity

SKY_HEIGHT = 128
ROUNDED = 1e-3
"""Units of the scene; a larger loss of positions is said."""
FORMATS = (".compressed.ply", ".ply", ".spz", ".splat")
SUFFIXES = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
SPLAT_ROW = np.dtype([("means", "<f4", 3), ("scales", "<f4", 3), ("rgba", "u1", 4), ("quats", "u1", 4)])


def import_gaussians(
    path: Path, *, spz_axes: Axes = "rub", activated: Sequence[Activated] = (), move: Similarity | None = None
) -> Gaussians:
    """Gaussians of a file by its suffix, in capitals or not; float32.

    `activated` names what a plain PLY holds after activation (`ply.import_ply`). `move` takes them into another frame
    before they become float32, which matters for files in double precision with map coordinates. InputError for
    another suffix and for a missing, damaged or wrong file.
    """
    suffix = _known_suffix(path)
    if suffix == ".ply":
        gaussians = import_ply(path, activated=activated)
    else:
        gaussians = import_spz(path, axes=spz_axes) if suffix == ".spz" else import_splat(path)
    gaussians = gaussians if move is None else move_gaussians(gaussians, move)
    means = gaussians.means.float()
    lost = float((gaussians.means - means).abs().max())
    if lost > ROUNDED:
        say(f"{path}: positions lie so far from the origin that float32 rounds them by up to {lost:.2g} units")
    return dataclasses.replace(gaussians, means=means)


def export_gaussians(path: Path, gaussians: Gaussians) -> None:
    """Writes a file of Gaussians in the format of its suffix. InputError for another suffix."""
    writers = {".ply": export_ply, ".spz": export_spz, ".splat": export_splat}
    writers[_known_suffix(path)](path, gaussians)


def _known_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".ply", ".spz", ".splat"):
        raise InputError(path, f"suffix {path.suffix!r}", SUFFIXES)
    return suffix


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
    with np.errstate(divide="ignore", invalid="ignore"):  # a scale of 0 becomes thin
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
