"""Gaussians to and from the PLY files that public viewers read, plain (Kerbl et al. 2023) and compressed.

Plain rows: x y z, nx ny nz (unused), f_dc_0..2, f_rest_* (all coefficients of red, then green, then blue), opacity
(logit), scale_0..2 (log), rot_0..3 (wxyz).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange

from faithfusion.scene.compressed_ply import pack_fields, unpack_fields
from faithfusion.scene.graph import GAUSSIAN_FIELDS
from faithfusion.scene.ply_header import (
    COEFFICIENTS,
    EXPECTED,
    columns,
    harmonic_columns,
    numbered,
    read_ply_header,
    read_rows,
)
from faithfusion.types import Gaussians
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say

COMPRESSED_SUFFIX = ".compressed.ply"


def export_ply(path: Path, gaussians: Gaussians) -> None:
    """Writes a plain PLY, or a compressed one if the name ends with `.compressed.ply`.

    For a moment of a scene with moving vehicles pass `gaussians_at(scene, time_index)`; Gaussians with an opacity of 0
    are left out, quaternions normalised. InputError if the harmonics are no whole degree up to 3.
    """
    rows = visible_rows(gaussians)
    content = pack_fields(rows) if path.name.endswith(COMPRESSED_SUFFIX) else _plain_bytes(rows)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def import_ply(path: Path) -> Gaussians:
    """Gaussians of a 3DGS PLY file, plain (any order of columns, extra ones ignored) or compressed.

    Rows with a value that is not finite are left out, with a line that says so. InputError if the file is missing, cut
    off, or not a Gaussian PLY (the absent property is named).
    """
    elements = read_ply_header(path)
    if "vertex" not in elements:
        raise InputError(path, f"tables {', '.join(elements) or 'none'}", EXPECTED)
    if "chunk" in elements:
        tables = {name: read_rows(path, element) for name, element in elements.items()}
        return finite_gaussians(path, unpack_fields(path, tables))
    return finite_gaussians(path, _plain_fields(path, read_rows(path, elements["vertex"])))


def visible_rows(gaussians: Gaussians) -> dict[str, np.ndarray]:
    """float32 arrays of the Gaussians with any opacity, by field, quaternions normalised."""
    if gaussians.colors.shape[1] not in COEFFICIENTS:
        raise InputError("spherical harmonics", f"{gaussians.colors.shape[1]} per colour", "1, 4, 9 or 16")
    keep = torch.sigmoid(gaussians.opacity_logits) > 0
    rows = {name: getattr(gaussians, name).detach()[keep].cpu().float() for name in GAUSSIAN_FIELDS}
    rows["quats"] = F.normalize(rows["quats"], dim=-1)
    return {name: tensor.numpy() for name, tensor in rows.items()}


def finite_gaussians(path: Path, fields: dict[str, np.ndarray]) -> Gaussians:
    """Gaussians of the rows whose values are all finite. InputError if none is left."""
    finite = np.logical_and.reduce([np.isfinite(rows).all(axis=tuple(range(1, rows.ndim))) for rows in fields.values()])
    if not finite.any():
        raise InputError(path, f"{len(finite)} Gaussians, none of them finite", "at least one Gaussian")
    if not finite.all():
        say(f"{path}: {int((~finite).sum())} of {len(finite)} Gaussians hold NaN or infinite values and are left out")
    return Gaussians(**{name: torch.from_numpy(np.ascontiguousarray(rows[finite])) for name, rows in fields.items()})


def _plain_bytes(rows: dict[str, np.ndarray]) -> bytes:
    rest = rearrange(rows["colors"][:, 1:], "n k c -> n (c k)")
    zeros = np.zeros_like(rows["means"])
    parts = [rows["means"], zeros, rows["colors"][:, 0], rest, rows["opacity_logits"][:, None], rows["log_scales"]]
    table = np.concatenate([*parts, rows["quats"]], axis=1).astype("<f4")
    names = ["x", "y", "z", "nx", "ny", "nz", *numbered("f_dc_", 3), *numbered("f_rest_", rest.shape[1]), "opacity"]
    names += [*numbered("scale_", 3), *numbered("rot_", 4)]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    header += [*(f"property float {name}" for name in names), "end_header", ""]
    return "\n".join(header).encode() + table.tobytes()


def _plain_fields(path: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
    constant = columns(path, rows, numbered("f_dc_", 3))[:, None]
    return {
        "means": columns(path, rows, ["x", "y", "z"]),
        "quats": columns(path, rows, numbered("rot_", 4)),
        "log_scales": columns(path, rows, numbered("scale_", 3)),
        "opacity_logits": columns(path, rows, ["opacity"])[:, 0],
        "colors": np.concatenate([constant, harmonic_columns(path, rows)], axis=1),
    }
